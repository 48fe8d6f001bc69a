"""Builders of networks: one module for each family, with a `build` that creates the graph."""
