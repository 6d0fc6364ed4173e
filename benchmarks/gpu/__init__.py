"""The engines on a real GPU: built, proven and measured there. README.md beside this tells how."""
