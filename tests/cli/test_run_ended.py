from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from kdray.cli import run


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGTERM, before)


def test_a_driver_that_is_asked_to_end_is_not_aborted_while_it_closes_its_job() -> None:
    signal.alarm(1000)  # as Ray does when SIGTERM comes
    with pytest.raises(KeyboardInterrupt):
        run._end(signal.SIGTERM, None)
    assert signal.alarm(0) == 0


def test_a_driver_that_closes_its_job_is_not_asked_again() -> None:
    with pytest.raises(KeyboardInterrupt):
        run._end(signal.SIGTERM, None)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
