"""The load generator, the servers it asks, and what is counted while replicas are killed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from kdray.bench import _chaos
from kdray.bench._load import Loader, status_of
from kdray.bench._servers import tree
from kdray.bench._uploads import Answers, drawn_files, post
from kdray.registry import Registry


class Counting(ThreadingHTTPServer):
    """Answers each request, every third one with 503, and counts them."""

    daemon_threads = True
    asked = 0
    lengths: set[int]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Counting

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.lengths.add(len(body))
        self.server.asked += 1
        status = 503 if self.path == "/sometimes" and self.server.asked % 3 == 0 else 200
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Counting]:
    server = Counting(("127.0.0.1", 0), Handler)
    server.lengths = set()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def asked(server: Counting, path: str, rate: float | None = None) -> dict[str, object]:
    request = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n1234567".encode()
    return Loader("127.0.0.1", server.server_address[1], [request], 3, rate).run(0.3)


def test_every_request_of_the_load_is_accounted_for(server: Counting) -> None:
    found = asked(server, "/")
    assert len(found["milliseconds"]) == server.asked > 3
    assert found["failures"] == {}
    assert server.lengths == {7}


def test_answers_other_than_200_are_failures(server: Counting) -> None:
    found = asked(server, "/sometimes")
    assert found["failures"]["503"] == server.asked // 3
    assert len(found["milliseconds"]) == server.asked - server.asked // 3


def test_a_load_of_a_rate_asks_at_the_moments_of_its_seed(server: Counting) -> None:
    first = len(asked(server, "/", rate=100)["milliseconds"])
    second = len(asked(server, "/", rate=100)["milliseconds"])
    assert first == second
    assert 10 < first < 60  # 30 on average


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200),
        (b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", 404),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", None),
        (b"HTTP/1.1 200 OK\r\nContent-Le", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", None),
    ],
)
def test_the_end_of_an_answer_is_found(answer: bytes, status: int | None) -> None:
    assert status_of(answer) == status


def test_uploads_are_images_of_the_wanted_size_in_bytes() -> None:
    for file in drawn_files(4, side=128, size=4000):
        assert Image.open(io.BytesIO(file)).size == (128, 128)
        assert 3000 < len(file) <= 4000


def test_a_request_is_what_servers_read() -> None:
    from kdray_serve.http.uploads import read_body

    head, _, body = post("/predict", b"image", method="gradcam").partition(b"\r\n\r\n")
    lines = dict(line.split(": ") for line in head.decode().split("\r\n")[1:])
    assert int(lines["Content-Length"]) == len(body)
    form = read_body(lines["Content-Type"], body, ("method",))
    assert form.images[0].content == b"image"
    assert form.one("method") == "gradcam"


def test_percentiles_are_of_the_sorted_answers() -> None:
    answers = Answers([float(number) for number in range(1, 101)], 2.0, {})
    assert answers.rate == 50
    assert (answers.percentile(50), answers.percentile(99)) == (51, 100)


def test_a_tree_of_processes_has_children_of_children() -> None:
    code = (
        "import subprocess; p = subprocess.Popen(['sleep', '60']);"
        " print(p.pid, flush=True); p.wait()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())
    try:
        assert tree(child.pid) == [child.pid, grandchild]
        assert grandchild in tree(os.getpid())
    finally:
        os.kill(grandchild, 9)
        child.wait()


def chaos(tmp_path: Path) -> _chaos.Chaos:
    expected = {1: [{"a": 0.25, "b": 0.75}], 2: [{"a": 0.5, "b": 0.5}]}
    return _chaos.Chaos(1, Registry(str(tmp_path)), "brain", [b""], expected)


@pytest.mark.parametrize(
    ("version", "share", "wrong"), [(1, 0.25, 0), (2, 0.5, 0), (2, 0.25, 1), (1, 0.26, 1)]
)
def test_an_answer_is_compared_with_the_version_that_it_names(
    tmp_path: Path, version: int, share: float, wrong: int
) -> None:
    tally = _chaos._Tally()
    client = _chaos._Client(chaos(tmp_path), 1, tally, "predict", 0)
    said = {"probabilities": {"a": share, "b": 1 - share}}
    client._check({"model": {"version": version}, "predictions": [said]}, 0)
    assert len(tally.wrong) == wrong
    assert tally.versions == {version: 1}


def test_failures_are_measured_by_what_was_in_flight_at_the_kills(tmp_path: Path) -> None:
    tally = _chaos._Tally(answers={"predict": 10}, versions={1: 10})
    tally.failed = [(4.0, 6.0, "predict 503"), (7.0, 8.0, "predict 500")]
    wrong, failed, late = _chaos._rows(chaos(tmp_path), tally, [(5.0, 3)])
    assert (wrong.value.median, wrong.met) == (0, True)
    assert (failed.value.median, failed.bar, failed.met) == (2, 3, True)
    assert (late.value.median, late.met) == (1, False)
