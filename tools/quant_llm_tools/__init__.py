"""The `quantllm` command, and the embedded AWS that it can start."""
