"""Watches endpoints that are being created or updated: for the stack that waits, and for people."""
