"""Log lines: JSON for programs or text for people; never images, file names or keys."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from datetime import UTC, datetime
from typing import Any, Literal

from kdray_serve.http.visit import Visit

_ACCESS = logging.getLogger("kdray.access")
#: Asked for every few seconds by what watches the service: told only when they fail.
_QUIET = frozenset({"/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
_MARK = "kdray-logs"
_ENCODER = json.JSONEncoder(default=str)


def set_up(form: Literal["json", "text"], level: int = logging.INFO) -> None:
    """Have this process write its log to standard error; the last call counts.

    Args:
        form: How lines look.
        level: The least that is written.
    """
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if handler.name == _MARK]:
        root.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.name = _MARK
    handler.setFormatter(Json() if form == "json" else Text())
    root.addHandler(handler)
    root.setLevel(level)
    for library in ("pydicom", "PIL"):
        _silence(library)


def _silence(library: str) -> None:
    """Let nothing that a decoder logs be written: it quotes what it cannot read, names too.

    Its level would not do: pydicom sets that itself when the first DICOM file has it imported.
    """
    logger = logging.getLogger(library)
    logger.propagate = False
    logger.handlers = [logging.NullHandler()]
    warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")


class AccessLog:
    """A log line for each request."""

    def finished(self, visit: Visit) -> None:
        """Write down a request that is over."""
        level = _level(visit)
        if _ACCESS.isEnabledFor(level):
            # Not by `log`: that looks for its caller's line, which takes as long as all the rest.
            record = logging.LogRecord(_ACCESS.name, level, "", 0, "request", None, None)
            record.facts = _facts(visit)
            _ACCESS.handle(record)


class Json(logging.Formatter):
    """A line of JSON: time (UTC), level, message, logger, and the facts of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
            **_extra(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return _ENCODER.encode(line)


class Text(logging.Formatter):
    """A line to read: time, level, message and facts; a traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        facts = " ".join(f"{key}={_shown(value)}" for key, value in _extra(record).items())
        words = (_time(record), f"{record.levelname:7}", record.getMessage(), facts)
        line = " ".join(word for word in words if word)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _facts(visit: Visit) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "request_id": visit.request_id,
        "method": visit.method,
        "route": visit.route,
        "status": visit.status,
        "ms": round(visit.seconds * 1000, 2),
        "key": visit.caller.name if visit.caller is not None else None,
        "address": visit.address,
        "received": visit.received,
        "sent": visit.sent,
    }
    if not visit.route:
        facts["path"] = visit.path[:200]
    if visit.model is not None:
        facts["model"] = f"{visit.model[0]}@{visit.model[1]}"
    return facts


def _level(visit: Visit) -> int:
    if visit.status >= 500:
        return logging.WARNING if visit.status in (503, 504) else logging.ERROR
    return logging.DEBUG if visit.route in _QUIET else logging.INFO


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    facts: dict[str, Any] = getattr(record, "facts", {})
    return facts


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(value: Any) -> str:
    """Return a value on one line: what a client sent must not look like a line of its own."""
    text = "-" if value in (None, "") else str(value)
    return text if text.isprintable() and " " not in text else json.dumps(text)
