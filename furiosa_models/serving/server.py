"""Server of an application on a socket, with timeouts that uvicorn lacks."""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from .._lazy import require
from ..errors import FuriosaModelsError
from .access import LogFormat, log_config
from .limits import Limits

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

__all__ = ["listen", "make_server", "run"]

_BACKLOG = 2048
"""Maximum number of connections that wait to be accepted."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Args:
        host: Address or name.
        port: Port; 0 selects any free port.

    Raises:
        FuriosaModelsError: The port is in use, or the address does not belong to this machine.
    """
    listening: socket.socket | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # localhost may have an IPv6 address as well; clients try IPv4, too
        family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        # asyncio sets TCP_NODELAY only if the socket has an explicit protocol
        listening = socket.socket(family, kind, protocol)
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:
        if listening is not None:
            listening.close()
        number = getattr(error, "errno", None) or 0
        reason = os.strerror(number) if number > 0 else str(error)  # negative: getaddrinfo failed
        msg = f"cannot listen on {host}, port {port}: {reason}; choose another --host or --port"
        raise FuriosaModelsError(msg) from error
    return listening


def make_server(
    app: FastAPI, limits: Limits | None = None, *, log_format: LogFormat = "text"
) -> uvicorn.Server:
    """Create a server of an application, with timeouts.

    Args:
        app: Application to serve.
        limits: Limits with the timeouts; see `Limits`.
        log_format: `text`, or `json` for one JSON object in each line of the log.

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
        app,
        http=protocol,
        ws="none",
        access_log=False,  # `Access` logs, with times
        log_config=log_config(log_format),
        timeout_graceful_shutdown=limits.shutdown_timeout,
    )
    return DeadlineServer(config)


def run(
    app: FastAPI,
    listening: socket.socket,
    limits: Limits | None = None,
    *,
    log_format: LogFormat = "text",
) -> None:
    """Serve an application until SIGINT or SIGTERM.

    The signal shuts the server down gracefully: requests that have been sent are answered, and
    those that take longer than `shutdown_timeout` get 503. Then the signal takes its default
    effect, so that the parent process sees why this one ended.

    Args:
        app: Application to serve.
        listening: Socket that `listen` returned.
        limits: Limits with the timeouts; see `Limits`.
        log_format: As for `make_server`.

    Raises:
        ExtraRequired: uvicorn is not installed.
        KeyboardInterrupt: SIGINT ended the server.
    """
    make_server(app, limits, log_format=log_format).run(sockets=[listening])
