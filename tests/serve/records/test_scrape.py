"""The counts of a machine on a port of their own, in a process that shares them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SHOW = """\
import threading
from kdray_serve.records.metrics import Metrics
from kdray_serve.records.scrape import open_scrape
from urllib.error import HTTPError
from urllib.request import urlopen

Metrics().switched(("brain", 3))
server = open_scrape(0, "127.0.0.1")
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
with urlopen(f"{url}/metrics") as answer:
    print(answer.headers["Content-Type"])
    print(answer.read().decode())
try:
    urlopen(f"{url}/v1/models")
except HTTPError as error:
    print("elsewhere", error.code)
"""
TAKE_OVER = """\
from urllib.error import URLError
from urllib.request import urlopen
from kdray_serve.records.scrape import open_scrape, scrape_on

first = open_scrape(0)
port = first.server_port
scrape_on(port, retry_s=0.01)
first.server_close()
for _ in range(10_000):
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            print("status", answer.status)
        break
    except (URLError, ConnectionError):
        pass
"""


def run(code: str, folder: Path) -> str:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_counts_of_a_machine_are_shown_without_a_key(tmp_path: Path) -> None:
    shown = run(SHOW, tmp_path)
    assert shown.startswith("text/plain")
    assert 'kdray_switches_total{model="brain",outcome="switched"} 1.0' in shown


def test_nothing_else_is_shown_there(tmp_path: Path) -> None:
    assert "elsewhere 404" in run(SHOW, tmp_path)


def test_a_process_takes_the_port_of_one_that_ended(tmp_path: Path) -> None:
    assert "status 200" in run(TAKE_OVER, tmp_path)
