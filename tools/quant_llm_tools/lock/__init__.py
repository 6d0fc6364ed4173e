"""`quantllm lock`: the one command that talks to the model hub."""
