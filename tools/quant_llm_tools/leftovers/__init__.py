"""`quantllm leftovers`: what stacks have left in the account, what it costs, and how it is removed."""
