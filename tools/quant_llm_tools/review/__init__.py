"""`quantllm review`: what a pull request does to infrastructure, cost, permissions and weights."""
