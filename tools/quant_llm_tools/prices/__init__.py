"""`quantllm prices`: what instances cost, how that is known, and reading it anew from AWS's price list."""
