"""What is particular to a store on S3."""

from __future__ import annotations

import http.server
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdray.errors import StoreError
from kdray.store import Store


def test_a_remote_folder_is_copied_once(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with remote.publish("a", {}) as folder:
        (folder / "one.txt").write_text("1")
    first = remote.fetch("a")
    (first / "one.txt").write_text("mine")
    assert (remote.fetch("a") / "one.txt").read_text() == "mine"
    assert (remote.fetch("a", again=True) / "one.txt").read_text() == "1"


def test_a_name_that_is_published_anew_is_not_read_from_the_old_copy(remote: Store) -> None:
    for text in ("old", "new"):
        remote.delete("a")
        with remote.publish("a", {}) as folder:
            (folder / "one.txt").write_text(text)
        assert (remote.fetch("a") / "one.txt").read_text() == text


@pytest.mark.parametrize("key", ["/one.txt", "../one.txt", "b/../../one.txt", "b//one.txt"])
def test_a_key_that_leads_out_of_its_folder_is_not_written(
    remote: Store, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    with remote.publish("a", {}) as folder:
        (folder / "one.txt").write_text("1")
    monkeypatch.setattr("kdray.store._objects.Objects.sizes", lambda *_: {key: 1})
    monkeypatch.setattr("kdray.store._objects.Objects._download", _never)
    with pytest.raises(StoreError, match="has a file of the name"):
        remote.fetch("a")


def _never(*_: object) -> None:
    raise AssertionError("something was written")


def test_a_remote_file_is_copied_once(remote: Store) -> None:
    remote.write("a/one.bin", b"1")
    first = remote.fetch_file("a/one.bin")
    remote.write("a/one.bin", b"2")
    assert remote.fetch_file("a/one.bin") == first
    assert first.read_bytes() == b"1"


def test_a_remote_file_that_is_not_there_is_named(remote: Store) -> None:
    with pytest.raises(
        StoreError, match=r"s3://lab-\w+/lab/a/one\.bin: cannot be read: there is no"
    ):
        remote.fetch_file("a/one.bin")


KILLED = """
import pathlib, sys
from kdray.store import Store
with Store(sys.argv[1]).publish("a", {}) as folder:
    (folder / "1.txt").write_text("1")
    (folder / "2.txt").write_text("2")
    real = Store.__init__.__globals__["Objects"]._upload
    def upload(self, file, name):
        real(self, file, name)
        print(name, flush=True)
        sys.stdin.read()
    Store.__init__.__globals__["Objects"]._upload = upload
"""


def test_a_writer_killed_amid_its_upload_leaves_nothing_to_find(s3: str, remote: Store) -> None:
    command = [sys.executable, "-c", KILLED, s3]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline().endswith("/1.txt\n")
        writer.send_signal(signal.SIGKILL)
    assert remote.result("a") is None
    with pytest.raises(StoreError, match="no finished result"):
        remote.fetch("a")
    with remote.publish("a", {"by": "another"}) as folder:
        (folder / "2.txt").write_text("other")
    assert [file.name for file in sorted(remote.fetch("a").iterdir())] == ["2.txt", "result.json"]


def test_more_objects_than_a_page_are_listed_and_deleted(
    remote: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        remote.write(f"a/{number}", b"x")
    client = remote._place._client  # type: ignore[union-attr]
    listed = client.list_objects_v2
    monkeypatch.setattr(client, "list_objects_v2", lambda **query: listed(**query, MaxKeys=2))
    assert remote.list("a") == ["0", "1", "2", "3", "4"]
    remote.delete("a")
    monkeypatch.undo()
    assert not remote.exists("a")


def test_what_other_clients_write_as_a_folder_is_deleted_with_it(remote: Store) -> None:
    place: Any = remote._place
    for key in ("lab/work/", "lab/work/ray/", "lab/work/ray/one"):
        place._client.put_object(Bucket=place._bucket, Key=key, Body=b"")
    assert remote.list("work") == ["ray"]
    remote.delete("work/ray")
    assert remote.list("work") == []


def test_a_store_on_s3_travels_to_another_process(remote: Store) -> None:
    remote.write("x", b"1")
    assert pickle.loads(pickle.dumps(remote)).read("x") == b"1"


def test_a_forked_process_has_a_connection_of_its_own(remote: Store) -> None:
    remote.write("x", b"1")
    before = remote._place._client  # type: ignore[union-attr]
    place = remote._place
    place._client_of = (os.getpid() + 1, before)  # type: ignore[union-attr]
    assert place._client is not before  # type: ignore[union-attr]


def test_the_usual_variables_name_server_and_keys(
    s3: str, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{s3_server}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bare = Store(s3.partition("?")[0])
    bare.write("x", b"1")
    assert Store(s3).read("x") == b"1"


def test_what_ray_opens_by_the_uri_is_the_same_storage(
    remote: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow.fs import FileSystem

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    files, path = FileSystem.from_uri(remote.uri_of("work/a"))
    with files.open_output_stream(path) as stream:
        stream.write(b"by arrow")
    assert remote.read("work/a") == b"by arrow"
    assert "test" not in remote.uri_of("work/a")


def test_a_missing_bucket_is_said(s3: str) -> None:
    store = Store(s3.replace("s3://lab-", "s3://other-"))
    for act in (lambda: store.read("x"), lambda: store.write("x", b""), lambda: store.list()):
        with pytest.raises(StoreError, match=r"there is no bucket 'other-\w+'. Make it"):
            act()


def test_a_server_that_is_not_there_is_said_without_the_secret() -> None:
    uri = "s3://bucket/lab?endpoint_override=127.0.0.1:1&scheme=http&access_key=a&secret_key=hush"
    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:1 does not answer") as caught:
        Store(f"{uri}&region=us-east-1").read("x")
    assert str(caught.value).startswith("s3://bucket/lab/x: cannot be read:")
    assert "hush" not in str(caught.value)


def test_missing_credentials_are_said(
    s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    uri = f"s3://bucket/lab?endpoint_override={s3_server}&scheme=http&region=us-east-1"
    with pytest.raises(StoreError, match="there are no credentials for it"):
        Store(uri).read("x")


@pytest.mark.parametrize("uri", ["s3://b/p?endpont_override=x", "s3:///p"])
def test_a_wrong_uri_is_refused_at_once(uri: str) -> None:
    with pytest.raises(StoreError, match=r"no setting 'endpont_override'|names no bucket"):
        Store(uri)


Answers = Callable[[list[str], list[tuple[int, bytes]]], str]


@pytest.fixture
def answering() -> Iterator[Answers]:
    """Return a function: a list to note requests in, answers in their order -> URI."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(seen: list[str], answers: list[tuple[int, bytes]]) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _scripted(seen, answers))
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        servers.append(server)
        settings = f"endpoint_override=127.0.0.1:{server.server_port}&scheme=http"
        return f"s3://bucket/lab?{settings}&region=us-east-1&access_key=a&secret_key=b"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _scripted(seen: list[str], answers: list[tuple[int, bytes]]) -> type[Any]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            condition = self.headers.get("If-None-Match") or self.headers.get("If-Match")
            seen.append(f"{self.command} {condition or ''}".strip())
            status, body = answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"tag"')
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def refusal(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


def test_a_conflict_on_the_server_is_a_lost_write(answering: Answers) -> None:
    seen: list[str] = []
    answers = [(404, refusal("NoSuchKey")), (409, refusal("ConditionalRequestConflict"))]
    assert not Store(answering(seen, answers)).replace("x", None, b"1")
    assert seen == ["GET", "PUT *"]


def test_an_object_deleted_meanwhile_is_a_lost_write(answering: Answers) -> None:
    seen: list[str] = []
    answers = [(200, b"old"), (404, refusal("NoSuchKey"))]
    assert not Store(answering(seen, answers)).replace("x", b"old", b"1")
    assert seen == ["GET", 'PUT "tag"']


@pytest.mark.parametrize(("now", "won"), [(b"1", True), (b"2", False)])
def test_a_write_whose_answer_was_lost_is_looked_up(
    answering: Answers, now: bytes, won: bool
) -> None:
    answers = [
        (404, refusal("NoSuchKey")),
        (500, refusal("InternalError")),  # and yet it was written
        (412, refusal("PreconditionFailed")),  # by the second try's condition
        (200, now),
    ]
    assert Store(answering([], answers)).replace("x", None, b"1") is won


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("AccessDenied", "does not allow it with these credentials"),
        ("InvalidAccessKeyId", "does not know the access key"),
        ("SignatureDoesNotMatch", "the secret key is wrong"),
        ("ExpiredToken", "the session token has expired"),
    ],
)
def test_refused_credentials_are_said(answering: Answers, code: str, said: str) -> None:
    with pytest.raises(StoreError, match=rf"s3://bucket/lab/x: cannot be read: .*{said}"):
        Store(answering([], [(403, refusal(code))])).read("x")


def test_a_server_without_conditional_writes_is_said(answering: Answers) -> None:
    answers = [(404, refusal("NoSuchKey")), (501, refusal("NotImplemented"))]
    with pytest.raises(StoreError, match="knows no conditional writes"):
        Store(answering([], answers)).replace("x", None, b"1")


def test_a_server_that_ignores_conditions_is_found_out(answering: Answers) -> None:
    seen: list[str] = []
    assert not Store(answering(seen, [(200, b""), (200, b"")])).decides("probe")
    assert seen == ["PUT *", "PUT *"]
