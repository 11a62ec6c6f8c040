"""The service: the registry's models behind HTTP and a page, on Ray Serve."""
