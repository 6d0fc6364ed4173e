"""The constructs of QuantLlmStack, one file each."""
