"""Programs that a method runs where its tools have no command for it: each needs packages of one image."""
