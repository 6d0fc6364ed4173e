"""The artifacts in an agency's bucket: which there are, who needs them, and which nobody does."""
