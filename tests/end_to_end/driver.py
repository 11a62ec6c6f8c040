"""Drives the ``kdray`` command in a process of its own, as a user would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kdray.registry import Registry
from kdray.run.journal import read_events
from kdray.store import Store

#: No wait in these tests is longer, seconds.
PATIENCE_S = 900.0

PLACES = ("runs", "registry")
JOB = """\
apiVersion: kdray/v1
kind: Experiment
name: tiny
data:
  source: {name: phantom, params: {num_images: 120}}
  image_size: 32
  channels: 1
teachers:
  - {id: big, model: {name: cnn5, params: {widths: [8, 8, 16, 16, 16]}}}
students:
  - {id: small, model: {name: cnn5, params: {widths: [4, 4, 4, 4, 4]}}}
methods: [none, {name: kd, search: {alpha: {min: 0.2, max: 0.8}}}]
train:
  teacher: {epochs: 12}
  student: {epochs: 12}
search: {trials: 3, epochs: 4, concurrent: 1}
evaluate: {seeds: 2, latency_repeats: 2}
explain: {methods: [gradcam, featuremaps], images: 2, scored: 4}
resources: {cpus_per_worker: 1}
"""


class Kdray:
    """The command in a folder of its own, on the suite's Ray cluster.

    Args:
        folder: Where it runs; gets the job file, `runs` and `registry`.
        address: Address of the cluster.
        job: The job file, of a job called `tiny`.
        uri: Where storage and registry are, instead of the folder: ``s3://bucket?settings``.
    """

    def __init__(self, folder: Path, address: str, job: str = JOB, uri: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.storage = folder / "runs"
        base, _, settings = (uri or str(folder)).partition("?")
        there = [f"{base}/{name}{'?' if settings else ''}{settings}" for name in PLACES]
        self.store, self.registry = Store(there[0]), Registry(there[1])
        places = f"storage: {{uri: '{there[0]}'}}\npromote: {{registry: '{there[1]}'}}\n"
        (folder / "job.yaml").write_text(job + (places if uri else ""))
        self.output = ""
        self._env = {**os.environ, "RAY_ADDRESS": address, "COLUMNS": "140"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command and return its process."""
        return subprocess.Popen(
            [sys.executable, "-m", "kdray.cli.main", *arguments],
            cwd=self.folder,
            env=self._env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run the command to its end, and return exit code and output."""
        process = self.start(*arguments)
        try:
            output, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
        return process.returncode, output

    def run_until(
        self, wanted: Callable[[Mapping[str, Any]], bool], ending: signal.Signals
    ) -> int:
        """Run the job until an event, then send a signal, and return the exit code.

        What it printed is then ``output``.

        Raises:
            AssertionError: The job ended, or time ran out, before the event.
        """
        seen = len(self.events())
        process = self.start("run", "job.yaml", "--plain")
        try:
            self.wait_for(wanted, process, seen)
            process.send_signal(ending)
            self.output, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
        return process.returncode

    def wait_for(
        self,
        wanted: Callable[[Mapping[str, Any]], bool],
        process: subprocess.Popen[str],
        seen: int = 0,
    ) -> dict[str, Any]:
        """Return the first event of a running job that is wanted, the `seen` first ones left out.

        Raises:
            AssertionError: The job ended, or time ran out, before the event.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            ended = process.poll() is not None  # before the look: its last events count
            found = next((event for event in self.events()[seen:] if wanted(event)), None)
            if found is not None:
                return found
            assert not ended, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)  # between two looks at a file

    def events(self) -> list[dict[str, Any]]:
        """Return the job's events so far."""
        return read_events(self.store, "tiny")

    def results(self) -> dict[str, Any]:
        """Return the job's results without what depends on the clock."""
        return dict(_timeless(self.store.read_json("jobs/tiny/results.json")))

    def finished(self) -> dict[str, int]:
        """Return the finished steps with the time at which each was written, nanoseconds."""
        return {
            str(path.parent.relative_to(self.storage)): path.stat().st_mtime_ns
            for path in self.storage.glob("steps/*/*/result.json")
        }


# Of the clock, and of what the last of several runs had left to do.
_CLOCK = {
    "seconds",
    "images_per_s",
    "latency_ms",
    "met_ms",
    "met_forwards",
    "registry",
    "spent",
    "teacher_images",
}


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in _CLOCK}
    return [_timeless(item) for item in value] if isinstance(value, list) else value
