"""A package answered without PyTorch: ONNX Runtime for the network, NumPy for what follows."""

from kdray.edge._methods import answerable

__all__ = ["answerable"]
