"""Routes of the v2 protocol (Open Inference Protocol), with the binary tensor extension."""

from .routes import add_routes

__all__ = ["add_routes"]
