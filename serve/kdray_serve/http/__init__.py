"""The HTTP application: what a request passes, its routes and protocols, and its answers."""
