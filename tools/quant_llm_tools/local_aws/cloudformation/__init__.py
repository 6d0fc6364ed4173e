"""CloudFormation, executed for real: change sets, dependency order, events, replacement, rollback."""
