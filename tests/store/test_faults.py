"""An S3 server that fails: tried again, then said, and nothing half-written is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdray.errors import StoreError
from kdray.store import Store
from kdray.store._client import client_of
from kdray.store._retry import PATIENCE_S
from tests.store.faults import Proxy, half, refused, reset, short, unanswered, undeleted

#: Of which an upload makes two parts.
LARGE = bytes(range(256)) * (9 * 4096)
FOR_EVER = math.inf
PATIENCE = "kdray.store._retry.PATIENCE_S"
#: Tries of one request by boto3 itself.
INNER = 3


def fill(store: Store, files: dict[str, bytes], **result: Any) -> None:
    """Publish a folder ``a``."""
    with store.publish("a", result) as folder:
        for name, data in files.items():
            (folder / name).write_bytes(data)


def test_an_upload_that_is_cut_is_made_again(
    faulty: Store, remote: Store, proxy: Proxy, waits: list[float]
) -> None:
    proxy.fail(reset, "PUT", times=2)
    faulty.write("x", b"whole" * 1000)
    assert remote.read("x") == b"whole" * 1000
    assert [line[:4] for line in proxy.seen] == ["PUT "] * 3


@pytest.mark.parametrize("cut", [half, short])
def test_an_answer_that_is_cut_is_asked_for_again(
    faulty: Store, remote: Store, proxy: Proxy, waits: list[float], cut: Callable[[Any], None]
) -> None:
    remote.write("x", b"whole" * 1000)
    proxy.fail(cut, "GET", times=3)
    assert faulty.read("x") == b"whole" * 1000
    assert len(waits) == 3  # boto3 does not ask again for the rest of a body


def test_an_overloaded_server_is_asked_ever_more_rarely_and_then_said(
    faulty: Store, remote: Store, proxy: Proxy, waits: list[float]
) -> None:
    proxy.fail(refused(503, "SlowDown"), "PUT", times=FOR_EVER)
    with pytest.raises(StoreError, match=r"x: cannot be written: the server is overloaded, ."):
        faulty.write("x", b"1")
    assert PATIENCE_S <= sum(waits) < PATIENCE_S + 10
    assert all(0.25 * 2**n <= wait <= 0.5 * 2**n for n, wait in enumerate(waits[:5]))
    assert len(proxy.seen) == INNER * (len(waits) + 1)
    assert not remote.exists("x")


def test_a_server_that_recovers_is_used(
    faulty: Store, remote: Store, proxy: Proxy, waits: list[float]
) -> None:
    proxy.fail(refused(503, "SlowDown"), "PUT", times=4)
    proxy.fail(refused(500, "InternalError"), "GET", times=4)
    faulty.write("x", b"1")
    assert faulty.list() == ["x"]
    assert remote.read("x") == b"1"
    assert len(waits) == 2


def test_a_server_that_was_there_is_waited_for_when_it_is_gone(
    faulty: Store, proxy: Proxy, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty.write("x", b"1")
    proxy.close()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            proxy.open()

    monkeypatch.setattr("kdray.store._retry.time.sleep", sleep)
    assert faulty.read("x") == b"1"
    assert len(waits) == 3


def test_a_server_that_was_never_there_is_not_waited_for(
    faulty: Store, proxy: Proxy, waits: list[float]
) -> None:
    proxy.close()
    with pytest.raises(StoreError, match="does not answer"):
        faulty.read("x")
    assert waits == []


def test_a_server_that_answers_without_tls_is_not_called_silent(
    waits: list[float], s3: str
) -> None:
    store = Store(s3.replace("scheme=http", "scheme=https"))
    with pytest.raises(StoreError, match=r"SSL validation failed .*AWS_CA_BUNDLE.*scheme=http"):
        store.read("x")
    assert waits == []


def test_a_proxy_that_is_not_there_is_told_from_the_server(
    waits: list[float], s3: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.close()
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy.before("http://" + proxy.server))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StoreError, match=r"connect to proxy URL: .*NO_PROXY"):
        Store(s3).read("x")


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "AccessDenied", "does not allow it with these credentials"),
        (400, "ExpiredToken", "the session token has expired. Log in again"),
        (404, "NoSuchBucket", r"there is no bucket 'lab-\w+'. Make it"),
        (403, "RequestTimeTooSkewed", "the clocks of this machine and of the server differ"),
    ],
)
def test_a_refusal_is_said_at_once_in_whatever_is_done(
    faulty: Store,
    remote: Store,
    proxy: Proxy,
    waits: list[float],
    status: int,
    code: str,
    said: str,
) -> None:
    fill(remote, {"one.txt": b"1"})
    for method in ("GET", "PUT", "POST", "HEAD"):
        proxy.fail(refused(status, code), method, times=FOR_EVER)
    acts = [
        lambda: faulty.read("x"),
        lambda: faulty.write("x", b"1"),
        lambda: faulty.list(),
        lambda: faulty.exists("x"),
        lambda: faulty.sizes("a"),
        lambda: faulty.delete("a"),
        lambda: faulty.fetch("a"),
        lambda: faulty.replace("x", None, b"1"),
        lambda: fill(faulty, {}),
        lambda: faulty._place._upload(Path(__file__), "x"),  # type: ignore[union-attr]
    ]
    for act in acts:
        proxy.seen.clear()
        with pytest.raises(StoreError, match=rf"s3://lab-\w+/lab.*: cannot be \w+: .*{said}"):
            act()
        assert len(proxy.seen) == 1
    assert waits == []


def test_a_question_of_size_that_is_refused_without_a_word_is_said(
    faulty: Store, proxy: Proxy
) -> None:
    proxy.fail(refused(400, "ExpiredToken"), "HEAD", times=FOR_EVER)  # its answers have no body
    with pytest.raises(StoreError, match="as it does where a session token has expired"):
        faulty.fetch_file("x")


def test_the_parts_of_a_large_upload_are_made_again_one_by_one(
    faulty: Store, remote: Store, proxy: Proxy, waits: list[float]
) -> None:
    proxy.fail(reset, "PUT", "partNumber=2", times=2)
    fill(faulty, {"large.bin": LARGE})
    assert remote.read_in("a", "large.bin") == LARGE
    assert sum("partNumber=1" in line for line in proxy.seen) == 1
    assert waits == []


def test_an_upload_that_is_cut_for_ever_leaves_nothing_to_find(
    faulty: Store,
    remote: Store,
    proxy: Proxy,
    waits: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PATIENCE, 0.1)
    proxy.fail(reset, "PUT", "partNumber=2", times=FOR_EVER)
    said = r"large\.bin: cannot be written: http://127\.0\.0\.1:\d+ ends the connection"
    with pytest.raises(StoreError, match=said):
        fill(faulty, {"large.bin": LARGE})
    assert len(waits) == 1
    assert remote.sizes("") == {}
    assert not remote.exists("a")
    assert _begun_uploads(remote) == 0
    assert [path for path in (tmp_path / "behind").rglob("*") if path.is_file()] == []
    proxy.heal()
    fill(faulty, {"large.bin": LARGE}, score=1)
    assert remote.finished("a") == {"score": 1}


def test_a_folder_of_which_one_file_cannot_be_uploaded_is_not_finished(
    faulty: Store, remote: Store, proxy: Proxy, waits: list[float]
) -> None:
    proxy.fail(refused(503, "SlowDown"), "PUT", "two.txt", times=FOR_EVER)
    with pytest.raises(StoreError, match=r"two\.txt: cannot be written"):
        fill(faulty, {"one.txt": b"1", "two.txt": b"2"})
    assert remote.result("a") is None
    with pytest.raises(StoreError, match="no finished result"):
        remote.fetch("a")
    fill(remote, {"two.txt": b"other"})
    copy = remote.fetch("a")
    assert {path.name for path in copy.iterdir()} == {"result.json", "two.txt"}


@pytest.mark.parametrize("cut", [half, short])
def test_a_copy_is_whole_or_not_there(
    faulty: Store,
    remote: Store,
    proxy: Proxy,
    waits: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cut: Callable[[Any], None],
) -> None:
    monkeypatch.setattr(PATIENCE, 0.1)
    fill(remote, {"one.txt": b"1", "large.bin": LARGE})
    proxy.fail(cut, "GET", "large.bin", after=1, times=FOR_EVER)
    with pytest.raises(StoreError, match=r"large\.bin: cannot be read: .* ends the connection"):
        faulty.fetch("a")
    assert len(waits) == 1
    assert [path for path in (tmp_path / "behind").rglob("*") if path.is_file()] == []
    proxy.heal()
    proxy.fail(cut, "GET", "large.bin", after=1, times=7)  # more than boto3's own tries
    assert (faulty.fetch("a") / "large.bin").read_bytes() == LARGE


def test_a_result_whose_answer_was_lost_is_kept_with_its_files(
    faulty: Store, remote: Store, proxy: Proxy, waits: list[float]
) -> None:
    proxy.fail(unanswered, "PUT", "result.json", times=INNER + 1)  # longer than boto3 tries
    fill(faulty, {"one.txt": b"1"}, score=1)
    assert remote.finished("a") == {"score": 1}
    assert remote.read_in("a", "one.txt") == b"1"
    assert len(waits) == 1


def test_of_a_replacement_whose_answer_was_lost_the_writer_knows_that_it_won(
    faulty: Store, proxy: Proxy, waits: list[float]
) -> None:
    faulty.write("x", b"1")
    proxy.fail(unanswered, "PUT", times=INNER + 1)
    assert faulty.replace("x", b"1", b"2")
    assert not faulty.replace("x", b"1", b"3")
    assert faulty.read("x") == b"2"


def test_a_deletion_that_fails_for_some_is_made_again_or_said(
    faulty: Store, remote: Store, proxy: Proxy, waits: list[float]
) -> None:
    remote.write("a/one.txt", b"1")
    proxy.fail(undeleted("AccessDenied"), "POST")
    with pytest.raises(StoreError, match="cannot be deleted: the server does not allow it"):
        faulty.delete("a")
    proxy.fail(undeleted("InternalError"), "POST")
    faulty.delete("a")
    assert not remote.exists("a")


def _begun_uploads(store: Store) -> int:
    """Return how many uploads in parts the server keeps that nobody ended."""
    place = store._place
    client = client_of(place._settings, "")  # type: ignore[union-attr]
    found = client.list_multipart_uploads(Bucket=place._bucket)  # type: ignore[union-attr]
    return len(found.get("Uploads", ()))
