"""An application behind a socket, within deadlines that uvicorn lacks."""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from .._lazy import require
from ..errors import FuriosaModelsError
from .limits import Limits

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

__all__ = ["listen", "make_server", "run"]

_BACKLOG = 2048
"""Connections that wait to be accepted."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: Address or name.
        port: Port; 0 is any that is free.

    Raises:
        FuriosaModelsError: The port is in use, or the address is none of this machine.
    """
    listening: socket.socket | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # localhost has two addresses, of which clients try this one, too
        family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        # asyncio sends small answers at once only on a socket that is made with its protocol
        listening = socket.socket(family, kind, protocol)
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:
        if listening is not None:
            listening.close()
        number = getattr(error, "errno", None) or 0
        reason = os.strerror(number) if number > 0 else str(error)  # below: the name is unknown
        msg = f"cannot listen on {host}, port {port}: {reason}; choose another --host or --port"
        raise FuriosaModelsError(msg) from error
    return listening


def make_server(app: FastAPI, limits: Limits | None = None) -> uvicorn.Server:
    """Return a server of an application, which keeps to the deadlines.

    Args:
        app: The application.
        limits: Deadlines; see `Limits`.

    Raises:
        ExtraRequired: uvicorn is not installed.
    """
    limits = limits or Limits()
    require("uvicorn", "serving needs uvicorn", extra="serve")
    import uvicorn

    from .deadlines import DeadlineProtocol, DeadlineServer

    protocol: Any = partial(
        DeadlineProtocol,
        header_timeout=limits.header_timeout,
        write_timeout=limits.body_timeout,
    )
    config = uvicorn.Config(
        app, http=protocol, ws="none", timeout_graceful_shutdown=limits.shutdown_timeout
    )
    return DeadlineServer(config)


def run(app: FastAPI, listening: socket.socket, limits: Limits | None = None) -> None:
    """Serve an application until the process is told to end.

    SIGINT and SIGTERM end it gracefully: requests in progress are finished, and those that take
    longer than `shutdown_timeout` are answered with 503. The signal takes its usual effect then, so
    that whoever started the process sees what ended it.

    Args:
        app: The application.
        listening: What `listen` returned.
        limits: Deadlines; see `Limits`.

    Raises:
        ExtraRequired: uvicorn is not installed.
        KeyboardInterrupt: It was SIGINT that ended it.
    """
    make_server(app, limits).run(sockets=[listening])
