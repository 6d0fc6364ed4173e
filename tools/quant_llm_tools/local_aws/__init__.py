"""The embedded AWS: moto, extended through its own seams, with the product's code really running on it."""
