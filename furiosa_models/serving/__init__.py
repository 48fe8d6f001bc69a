"""HTTP server for models."""

from .app import as_in_0_10, make_app
from .furiosa_serving import ServeAPI, ServeModel, synchronous
from .limits import MOST_BYTES, Limits

__all__ = [
    "MOST_BYTES",
    "Limits",
    "ServeAPI",
    "ServeModel",
    "as_in_0_10",
    "make_app",
    "synchronous",
]
