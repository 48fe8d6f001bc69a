"""Utilities under Neural Compressor's names."""
