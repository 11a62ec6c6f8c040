"""Job texts, and their problems as lines."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence

import pytest

from kdray import parts
from kdray.errors import JobError
from kdray.spec import Experiment, Service, parse_job

SMALLEST = """\
apiVersion: kdray/v1
kind: Experiment
name: tiny
data:
  source: phantom
teachers:
  - timm/resnet18
students:
  - cnn5
"""

Read = Callable[..., Experiment | Service]
Problems = Callable[..., list[str]]


@pytest.fixture
def read() -> Read:
    """Read the smallest job with more lines: text, sets, env -> job."""

    def call(
        more: str = "",
        sets: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        whole: str = "",
    ) -> Experiment | Service:
        text = textwrap.dedent(whole) or SMALLEST + textwrap.dedent(more)
        return parse_job(text, "job.yaml", sets, env or {}, parts.check)

    return call


@pytest.fixture
def problems(read: Read) -> Problems:
    """Return the lines that a wrong job is refused with."""

    def call(more: str = "", **arguments: object) -> list[str]:
        with pytest.raises(JobError) as caught:
            read(more, **arguments)
        return str(caught.value).splitlines()

    return call
