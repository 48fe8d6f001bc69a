"""The access log, and log lines as text or JSON."""

from __future__ import annotations

import copy
import json
import logging
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .._lazy import require

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .metrics import Metrics

__all__ = ["Access", "JsonFormatter", "LogFormat", "log_config", "log_line"]

LogFormat: TypeAlias = Literal["text", "json"]

_LOGGER = "furiosa_models.serving"
_UNKNOWN = "unknown"
_FIELDS = ("client", "method", "path", "status", "milliseconds")


class Access:
    """ASGI middleware that logs and counts requests.

    A line of the log has no query and no headers, since these may contain what is secret.

    Args:
        app: Application to wrap.
        metrics: Metrics to record requests in, if any.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._logger = logging.getLogger(_LOGGER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        since = time.perf_counter()
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            self._record(scope, status, time.perf_counter() - since)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        if self._metrics is not None:
            route = getattr(scope.get("route"), "path", _UNKNOWN)
            method = scope["method"] if route != _UNKNOWN else _UNKNOWN  # a client may invent any
            self._metrics.request_done(method, route, status, seconds)
        if not self._logger.isEnabledFor(logging.INFO):
            return
        client = ":".join(map(str, scope.get("client") or ("-",)))
        path = scope.get("raw_path", b"").decode("latin-1").partition("?")[0]
        values = (client, scope["method"], path, status, round(1000 * seconds, 1))
        fields = dict(zip(_FIELDS, values, strict=True))
        self._logger.info('%s - "%s %s" %d %.1f ms', *values, extra={"fields": fields})


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, logger and message, and the fields of a request."""
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields = getattr(record, "fields", None)
        line |= fields if isinstance(fields, dict) else {"message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_line(message: str) -> str:
    """Return a message as a line of JSON."""
    record = logging.LogRecord(_LOGGER, logging.INFO, __file__, 0, message, None, None)
    return JsonFormatter().format(record)


def log_config(form: LogFormat) -> dict[str, Any]:
    """Return the logging configuration of a server, which logs to the standard error.

    Args:
        form: `text`, or `json` for one JSON object in each line.

    Raises:
        ExtraRequired: uvicorn is not installed.
    """
    require("uvicorn", "serving needs uvicorn", extra="serve")
    from uvicorn.config import LOGGING_CONFIG

    config = copy.deepcopy(LOGGING_CONFIG)
    if form == "json":
        config["formatters"]["default"] = {"()": f"{__name__}.{JsonFormatter.__name__}"}
    config["loggers"][_LOGGER] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config
