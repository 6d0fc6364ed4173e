"""`quantllm preflight`: asks, without changing anything, whether a deploy can succeed."""
