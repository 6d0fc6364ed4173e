"""IAM on the embedded AWS: whether a role may do what it asks for, by the policies that are deployed."""
