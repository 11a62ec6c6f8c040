"""Headers of every answer: for browsers, and for pages of other origins."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

PREDICT = "/v1/models/brain/predict"
PNG = {"Content-Type": "image/png"}
Client = Callable[..., TestClient]
Desk = Callable[..., Any]
ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

ORIGIN = {"Origin": "https://pacs.example.org"}
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/page/page.js", "/v1/models", "/nowhere", "/v1/models/none", "/healthz"],
)
def test_every_answer_has_the_headers_of_security(
    client_of: Client, desk_of: Desk, path: str
) -> None:
    headers = client_of(desk_of()).get(path).headers
    assert ALWAYS.items() <= dict(headers).items()
    assert "camera=()" in headers["permissions-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_answers_are_not_kept_by_browsers_and_hold_nothing_to_run(
    client_of: Client, desk_of: Desk, scan: bytes
) -> None:
    headers = client_of(desk_of()).post(PREDICT, content=scan, headers=PNG).headers
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")


def policy_of(client: TestClient, path: str) -> dict[str, list[str]]:
    policy = client.get(path).headers["content-security-policy"]
    return {words[0]: words[1:] for words in map(str.split, policy.split(";"))}


def test_the_page_runs_its_own_scripts_only(client_of: Client, desk_of: Desk) -> None:
    policy = policy_of(client_of(desk_of()), "/")
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
    assert policy["img-src"] == ["'self'", "blob:", "data:"]


def test_the_page_holds_no_script_and_no_style_of_its_own(
    client_of: Client, desk_of: Desk
) -> None:
    html = client_of(desk_of()).get("/").text
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", html)
    assert not re.search(r"(src|href)=\"(https?:)?//", html)


def test_the_documentation_may_run_just_the_script_that_it_holds(
    client_of: Client, desk_of: Desk
) -> None:
    client = client_of(desk_of())
    [own, digest] = policy_of(client, "/docs")["script-src"]
    assert own == "'self'"
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", digest)
    html = client.get("/docs").text
    for asset in re.findall(r'(?:src|href)="([^"]+)"', html):
        assert asset.startswith("/")
        assert client.get(asset).status_code == 200, asset


def test_other_origins_are_not_allowed_by_default(client_of: Client, desk_of: Desk) -> None:
    client = client_of(desk_of())
    asked = client.options(PREDICT, headers={**ORIGIN, **ASKS})
    assert asked.status_code == 403
    for answer in (asked, client.get("/healthz", headers=ORIGIN)):
        assert "access-control-allow-origin" not in answer.headers


def test_a_named_origin_may_ask_without_a_key_whether_it_may_ask(
    client_of: Client, desk_of: Desk, scan: bytes
) -> None:
    from kdray.spec.keys import make_key

    secret, key = make_key("pacs", ["predict"])
    client = client_of(desk_of(auth=None, cors=("https://pacs.example.org",)), keys=[key])
    asked = client.options(PREDICT, headers={**ORIGIN, **ASKS})
    assert asked.status_code == 204
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    assert "POST" in asked.headers["access-control-allow-methods"]
    bearer = {"Authorization": f"Bearer {secret}"}
    answer = client.post(PREDICT, content=scan, headers={**ORIGIN, **PNG, **bearer})
    refused = client.post(PREDICT, content=scan, headers={**ORIGIN, **PNG})
    assert (answer.status_code, refused.status_code) == (200, 401)
    for one in (asked, answer, refused):
        assert one.headers["access-control-allow-origin"] == ORIGIN["Origin"]
        assert one.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in one.headers


@pytest.mark.parametrize("origin", ["null", "https://pacs.example.org.evil.example", "*"])
def test_no_other_origin_is_allowed_beside_a_named_one(
    client_of: Client, desk_of: Desk, origin: str
) -> None:
    client = client_of(desk_of(cors=("https://pacs.example.org",)))
    asked = client.options(PREDICT, headers={**ASKS, "Origin": origin})
    assert asked.status_code == 403


@pytest.mark.parametrize("origin", ["*", "pacs.example.org", "https://pacs.example.org/", "null"])
def test_what_no_browser_sends_as_an_origin_is_refused_in_the_job(
    desk_of: Desk, origin: str
) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        desk_of(cors=(origin,))
