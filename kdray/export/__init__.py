"""What a package needs to be served without PyTorch, and to say when not to trust it."""
