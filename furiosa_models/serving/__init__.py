"""HTTP server for models."""

from .answers import as_in_0_10
from .app import make_app
from .batching import Batching
from .furiosa_serving import ServeAPI, ServeModel, synchronous
from .limits import MOST_BYTES, Limits

__all__ = [
    "MOST_BYTES",
    "Batching",
    "Limits",
    "ServeAPI",
    "ServeModel",
    "as_in_0_10",
    "make_app",
    "synchronous",
]
