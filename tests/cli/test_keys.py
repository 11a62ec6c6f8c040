"""``kdray keys``: made, listed, revoked."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

Kdray = Callable[..., Any]


def test_a_key_is_shown_once_and_its_hash_is_kept(kdray: Kdray) -> None:
    said = kdray("keys", "add", "page", "--role", "explain")
    [secret] = [line for line in said.out.splitlines() if line.startswith("kdray_")]
    listed = json.loads(kdray("keys", "list", "--json").out)
    assert listed[0]["sha256"] == sha256(secret.encode()).hexdigest()
    assert secret not in Path("keys.yaml").read_text()
    assert secret not in kdray("keys", "list").out


def test_a_key_is_made_for_programs(kdray: Kdray) -> None:
    said = kdray(
        "keys",
        "add",
        "x",
        "--role",
        "admin",
        "--expires",
        "2999-12-31",
        "--file",
        "a.yaml",
        "--json",
    )
    made = json.loads(said.out)
    assert made["key"].startswith("kdray_")
    assert (made["roles"], made["expires"], made["is_over"]) == (["admin"], "2999-12-31", False)


def test_a_revoked_key_is_gone_and_the_others_stay(kdray: Kdray) -> None:
    for name in ("a", "b", "c"):
        kdray("keys", "add", name, "--role", "predict")
    assert kdray("keys", "revoke", "b").code == 0
    assert [key["name"] for key in json.loads(kdray("keys", "list", "--json").out)] == ["a", "c"]
    kdray("keys", "revoke", "a")
    kdray("keys", "revoke", "c")
    assert "no keys" in kdray("keys", "list").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "page", "--role", "predict"), "there is a key 'page' already"),
        (("add", "new", "--role", "root"), "there is no role 'root'"),
        (("add", "a/b", "--role", "predict"), "'a/b' is no name of a key"),
        (("add", "new", "--role", "predict", "--expires", "2020-01-01"), "is over"),
        (("add", "new", "--role", "predict", "--file", "no/keys.yaml"), "No such file"),
        (("revoke", "nobody"), "There are: page"),
        (("list", "--file", "none.yaml"), "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(kdray: Kdray, words: tuple[str, ...], said: str) -> None:
    kdray("keys", "add", "page", "--role", "predict")
    before = Path("keys.yaml").read_bytes()
    answer = kdray("keys", *words)
    assert answer.code != 0
    assert said in answer.err
    assert Path("keys.yaml").read_bytes() == before
