"""What every request passes: its name, the limits, the headers, and what takes note of it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from kdray.spec.service import Limits
from kdray_serve.http.gate import Gate
from kdray_serve.http.keys import Anybody
from kdray_serve.http.visit import Visit
from kdray_serve.refusal import Refusal

PREDICT = "/v1/models/brain/predict"
PNG = {"Content-Type": "image/png"}
Client = Callable[..., TestClient]
Desk = Callable[..., Any]


class Notes:
    """Takes note of visits."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []

    def finished(self, visit: Visit) -> None:
        self.visits.append(visit)


@pytest.mark.parametrize("name", ["a", "scan-17", "0f1e2d3c:4.5_6", "A" * 64])
def test_a_short_request_id_is_kept(client_of: Client, desk_of: Desk, name: str) -> None:
    answer = client_of(desk_of()).get("/healthz", headers={"X-Request-ID": name})
    assert answer.headers["x-request-id"] == name


@pytest.mark.parametrize("name", ["", "a b", "-a", "A" * 65, 'a"', "a\u00e4", "{}", "a;b", "a/b"])
def test_any_other_request_id_is_replaced(client_of: Client, desk_of: Desk, name: str) -> None:
    answer = client_of(desk_of()).get("/healthz", headers={"X-Request-ID": name.encode("latin-1")})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_requests_have_different_names(client_of: Client, desk_of: Desk) -> None:
    client = client_of(desk_of())
    assert len({client.get("/healthz").headers["x-request-id"] for _ in range(20)}) == 20


def test_answers_and_refusals_name_the_request(
    client_of: Client, desk_of: Desk, scan: bytes
) -> None:
    client = client_of(desk_of())
    for content in (scan, b"no image"):
        answer = client.post(PREDICT, content=content, headers=PNG)
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_body_above_the_limit_is_413(client_of: Client, desk_of: Desk) -> None:
    client = client_of(desk_of(limits=Limits(max_upload_mb=0.5)))
    answer = client.post(PREDICT, content=b"x" * (2**19 + 1), headers=PNG)
    assert answer.status_code == 413
    assert "0.5 MiB" in answer.json()["detail"]
    assert client.post(PREDICT, content=b"x" * 2**19, headers=PNG).status_code == 415


def test_a_body_of_unannounced_length_is_413_as_soon_as_it_is_too_long(
    client_of: Client, desk_of: Desk
) -> None:
    sent = []

    def chunks() -> Iterator[bytes]:
        for number in range(64):
            sent.append(number)
            yield b"x" * 2**16

    desk = desk_of(limits=Limits(max_upload_mb=0.5))
    answer = client_of(desk).post(PREDICT, content=chunks(), headers=PNG)
    assert answer.status_code == 413
    assert desk.asked == []


def test_an_announced_body_above_the_limit_is_refused_before_it_comes() -> None:
    async def never(*_arguments: Any) -> Any:
        raise AssertionError("neither the application nor the body is needed")

    headers = [(b"host", b"localhost"), (b"content-length", b"99999999999999999999999")]
    [start, _] = asyncio.run(called(never, headers, receive=never))
    assert start["status"] == 413


def test_head_is_get_without_the_body(client_of: Client, desk_of: Desk) -> None:
    client = client_of(desk_of())
    for path in ("/", "/v1/models", "/healthz", "/page/icon.svg"):
        head, got = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-length"] == str(len(got.content))


def test_options_tells_what_an_address_takes(client_of: Client, desk_of: Desk) -> None:
    answer = client_of(desk_of()).options(PREDICT)
    assert answer.status_code == 204
    assert answer.headers["allow"] == "POST, OPTIONS"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", PREDICT, 405),
        ("DELETE", "/v1/models/brain", 405),
        ("PUT", "/", 405),
        ("POST", "/page/page.js", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/page/../app.py", 404),
        ("GET", "/page/%2e%2e/app.py", 404),
        ("GET", "/page//etc/passwd", 404),
        ("GET", "/v1/models/", 404),
        ("GET", "/v1/models/..%2f..%2fetc", 404),
        ("GET", "/v1/models/brain/samples/..%2f0", 404),
        ("GET", "/v1/models/brain/samples/x", 422),
        ("GET", "/v1/models/brain/samples/-1", 422),
        ("GET", f"/v1/models/brain/samples/{10**40}", 404),
    ],
)
def test_a_wrong_address_or_method_is_a_problem(
    client_of: Client, desk_of: Desk, method: str, path: str, status: int
) -> None:
    answer = client_of(desk_of()).request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"].endswith(".")


def test_a_fault_is_500_without_details_and_is_logged_under_its_name(
    client_of: Client, desk_of: Desk, scan: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    desk = desk_of()
    desk.fails = ZeroDivisionError("secret")
    with caplog.at_level(logging.ERROR):
        answer = client_of(desk).post(PREDICT, content=scan, headers=PNG)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert answer.json()["request_id"] in caplog.text
    assert "ZeroDivisionError: secret" in caplog.text


def test_a_number_that_is_none_is_a_fault_and_not_wrong_json(
    client_of: Client, desk_of: Desk, scan: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_of()
    said = desk._said

    def nan(*given: Any) -> Any:
        answer = said(*given)
        answer.probabilities[0] = float("nan")
        return answer

    monkeypatch.setattr(desk, "_said", nan)
    assert client_of(desk).post(PREDICT, content=scan, headers=PNG).status_code == 500


def test_a_full_queue_is_503_with_retry_after(
    client_of: Client, desk_of: Desk, scan: bytes
) -> None:
    desk = desk_of()
    desk.fails = Refusal(503, "Too many predictions are waiting.", {"Retry-After": "1"})
    answer = client_of(desk).post(PREDICT, content=scan, headers=PNG)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_words_of_the_request_that_are_no_text_do_no_harm(
    client_of: Client, desk_of: Desk, scan: bytes
) -> None:
    body = b'{"images": [""], "method": "\\ud800"}'
    answer = client_of(desk_of()).post(
        "/v1/models/brain/explain", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    answer.json()


def test_a_visit_says_who_asked_what_and_how_it_went(
    client_of: Client, desk_of: Desk, scan: bytes
) -> None:
    notes = Notes()
    client = client_of(desk_of(), listeners=[notes])
    answer = client.post(PREDICT, content=scan, headers=PNG)
    client.get("/v1/models/none")
    client.get("/nowhere/else")
    [asked, unknown, nowhere] = notes.visits
    assert (asked.method, asked.route, asked.status) == ("POST", "/v1/models/{name}/predict", 200)
    assert (asked.model, asked.received, asked.sent) == (
        ("brain", 2),
        len(scan),
        len(answer.content),
    )
    assert asked.request_id == answer.headers["x-request-id"]
    assert asked.caller is not None
    assert asked.caller.name == "anybody"
    assert asked.seconds > 0
    assert (unknown.route, unknown.model, unknown.status) == ("/v1/models/{name}", None, 404)
    assert (nowhere.route, nowhere.path, nowhere.status) == ("", "/nowhere/else", 404)


def test_a_listener_that_fails_takes_no_answer_with_it(client_of: Client, desk_of: Desk) -> None:
    class Broken:
        def finished(self, _visit: Visit) -> None:
            raise ZeroDivisionError

    notes = Notes()
    client = client_of(desk_of(), listeners=[Broken(), notes])
    assert client.get("/healthz").status_code == 200
    assert len(notes.visits) == 1


App = Callable[..., Awaitable[Any]]


async def called(
    app: App,
    headers: list[tuple[bytes, bytes]],
    receive: App,
    notes: Notes | None = None,
    path: str = PREDICT,
) -> list[dict[str, Any]]:
    """Return what the gate sends around an application."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": path, "headers": headers}
    scope |= {"root_path": "", "query_string": b""}
    gate = Gate(app, Anybody(()), Limits(), listeners=[notes] if notes else [])
    await gate(scope, receive, send)
    return sent


def test_a_client_that_goes_away_is_noted_as_499_and_is_no_fault(
    client_of: Client, desk_of: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    notes = Notes()
    app = client_of(desk_of()).app
    headers = [(b"host", b"localhost"), (b"content-type", b"image/png")]
    assert asyncio.run(called(app, headers, gone, notes)) == []  # type: ignore[arg-type]
    assert notes.visits[0].status == 499
    assert not caplog.records


@pytest.mark.parametrize(
    "path", [PREDICT, "/v1/models/brain:predict", "/v2/models/brain/infer", "/v1/preview"]
)
def test_a_client_that_sends_no_more_is_408(
    client_of: Client, desk_of: Desk, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async def never() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("kdray_serve.http.gate._BODY_SECONDS", 0.001)
    headers = [(b"host", b"localhost"), (b"content-type", b"image/png")]
    app = client_of(desk_of()).app
    [start, body] = asyncio.run(called(app, headers, never, path=path))  # type: ignore[arg-type]
    assert start["status"] == 408
    assert b"did not arrive" in body["body"]


def test_the_bodies_of_requests_at_once_have_a_limit_together() -> None:
    limits = Limits(max_upload_mb=1)

    async def read(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        if scope["path"] == PREDICT:
            await waiting.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask(path: str) -> list[Any]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": bytes(2**20), "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "query_string": b""}
        await gate({**scope, "headers": [(b"host", b"localhost")]}, receive, send)
        return [sent[0]["status"], dict(sent[0]["headers"]).get(b"retry-after")]

    async def crowd() -> None:
        first = [asyncio.create_task(ask(PREDICT)) for _ in range(16)]
        await asyncio.sleep(0)
        assert await ask("/v1/preview") == [503, b"1"]
        waiting.set()
        assert [answer[0] for answer in await asyncio.gather(*first)] == [200] * 16
        assert await ask("/v1/preview") == [200, None]

    waiting = asyncio.Event()
    gate = Gate(read, Anybody(()), limits)
    asyncio.run(crowd())


def test_a_fault_in_the_middle_of_an_answer_ends_the_connection() -> None:
    async def half(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    with pytest.raises(ZeroDivisionError):
        asyncio.run(called(half, [(b"host", b"localhost")], nothing))


def test_the_application_may_stand_under_a_prefix() -> None:
    seen = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(scope["kdray.visit"].caller.roles)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: Any) -> None:
        return None

    gate = Gate(app, Anybody(()), Limits())
    scope = {"type": "http", "method": "GET", "headers": [(b"host", b"localhost")]}
    for path in ("/kdray/healthz", "/kdray/v1/models"):
        asyncio.run(gate({**scope, "path": path, "root_path": "/kdray"}, nothing, send))
    assert seen == [frozenset(), frozenset({"predict", "explain", "admin"})]
