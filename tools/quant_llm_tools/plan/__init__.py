"""`quantllm plan`: which instance types can serve a model, in which quantisation, and what that costs."""
