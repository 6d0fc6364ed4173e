"""The job that makes quantised weights: verify the source, run the method's own tools, write a manifest."""
