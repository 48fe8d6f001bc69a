"""Networks as code: ONNX graphs built from named weights."""
