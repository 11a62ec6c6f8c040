"""What a package needs to be served without PyTorch, and to say when not to trust it."""

from kdray.export._files import write_serving

__all__ = ["write_serving"]
