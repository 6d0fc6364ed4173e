"""Step Functions: a subset of the Amazon States Language, run for real, with Lambda tasks as its work."""
