"""Measures an endpoint: speed, latency, cost, and how they compare."""
