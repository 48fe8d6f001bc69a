"""A model behind HTTP."""

from .app import MOST_BYTES, as_in_0_10, make_app
from .furiosa_serving import ServeAPI, ServeModel, synchronous

__all__ = ["MOST_BYTES", "ServeAPI", "ServeModel", "as_in_0_10", "make_app", "synchronous"]
