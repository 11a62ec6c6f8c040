"""A package answered without PyTorch: ONNX Runtime for the network, NumPy for what follows."""
