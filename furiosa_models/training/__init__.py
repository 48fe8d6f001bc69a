"""Training: new heads on frozen features without PyTorch, and whole networks with it."""
