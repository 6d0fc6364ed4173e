"""Measurements that are run by hand, each printed as a table; none of them is a test."""
