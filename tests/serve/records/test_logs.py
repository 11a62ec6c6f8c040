"""Log lines for programs and for people."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from kdray_serve.http.visit import Visit
from kdray_serve.records.logs import AccessLog, Json, Text, set_up
from kdray_serve.work import Caller


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def visit(**changes: Any) -> Visit:
    found = Visit("r1", "POST", "/v1/models/brain/predict", "10.0.0.7")
    facts = {
        "caller": Caller("ward", frozenset(), "r1"),
        "route": "/v1/models/{name}/predict",
        "model": ("brain", 3),
        "status": 200,
        "seconds": 0.0123,
    }
    for name, value in {**facts, **changes}.items():
        setattr(found, name, value)
    return found


def line_of(visit: Visit, capsys: pytest.CaptureFixture[str], form: Any = "json") -> str:
    set_up(form)
    AccessLog().finished(visit)
    return capsys.readouterr().err


def test_a_request_is_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(line_of(visit(), capsys))
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "info",
        "message": "request",
        "logger": "kdray.access",
        "request_id": "r1",
        "method": "POST",
        "route": "/v1/models/{name}/predict",
        "status": 200,
        "ms": 12.3,
        "key": "ward",
        "address": "10.0.0.7",
        "received": 0,
        "sent": 0,
        "model": "brain@3",
    }


@pytest.mark.parametrize(("status", "level"), [(404, "info"), (503, "warning"), (500, "error")])
def test_failures_are_louder(capsys: pytest.CaptureFixture[str], status: int, level: str) -> None:
    assert json.loads(line_of(visit(status=status), capsys))["level"] == level


def test_what_watches_the_service_is_told_only_when_it_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert line_of(visit(route="/readyz"), capsys) == ""
    assert json.loads(line_of(visit(route="/readyz", status=503), capsys))["status"] == 503


def test_an_address_without_a_route_is_told_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(line_of(visit(route="", model=None, path="/" + "x" * 999), capsys))
    assert len(found["path"]) == 200


def test_text_is_one_line_whatever_a_client_sends(capsys: pytest.CaptureFixture[str]) -> None:
    said = line_of(visit(route="", path="/a\nERROR forged"), capsys, "text")
    assert said.count("\n") == 1
    assert "request_id=r1" in said
    assert "status=200" in said


def test_setting_up_twice_does_not_double_lines(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json")
    assert line_of(visit(), capsys).count("\n") == 1


def _record() -> logging.LogRecord:
    try:
        raise ValueError("broken")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    return logging.LogRecord(
        "kdray.http", logging.ERROR, "", 1, "request %s failed", ("r1",), info
    )


def test_an_error_has_its_traceback_in_the_line() -> None:
    found = json.loads(Json().format(_record()))
    assert found["message"] == "request r1 failed"
    assert found["error"].endswith("ValueError: broken")


def test_an_error_as_text_has_its_traceback_below() -> None:
    first, *others = Text().format(_record()).splitlines()
    assert "request r1 failed" in first
    assert others[-1] == "ValueError: broken"


QUOTING = """
import io, sys, warnings
from kdray_serve.records.logs import set_up
set_up("json")
assert "pydicom" not in sys.modules
import logging
from kdray.images import decode
import pydicom
from pydicom.data import get_testdata_file
from pydicom.misc import warn_and_log
logging.getLogger("PIL.PngImagePlugin").error("Doe^Jane")
logging.getLogger("pydicom.pixels").error("Doe^Jane")
content = bytearray(open(get_testdata_file("CT_small.dcm"), "rb").read())
place = content.index(b"\\x02\\x00\\x10\\x00UI")  # the transfer syntax, made to hold what follows
content[place + 6 : place + 8] = (1500).to_bytes(2, "little")
content[place + 400 : place + 408] = b"Doe^Jane"
try:
    decode(bytes(content))
except Exception as error:
    print(type(error).__name__)
logging.getLogger("kdray.x").warning("seen")
"""


def test_what_decoders_say_of_a_file_is_not_written() -> None:
    done = subprocess.run([sys.executable, "-c", QUOTING], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "DataError\n"
    assert "seen" in done.stderr
    assert "Jane" not in done.stderr
    assert "pydicom" not in done.stderr
