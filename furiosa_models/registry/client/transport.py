"""What a registry's code reads its files with, under the import path of furiosa-registry."""

from __future__ import annotations

from ..model_code import FileTransport

__all__ = ["FileTransport"]
