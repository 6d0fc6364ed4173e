"""What the functions share: the answer to CloudFormation, retries, JSON log lines."""
