"""`quantllm quantise`: quantised weights by a job in the agency's account, and their entry in the lock."""
