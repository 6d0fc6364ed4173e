"""Copies a model from the Hugging Face hub to `model.tar.gz` in S3: streamed, verified, constant memory."""
