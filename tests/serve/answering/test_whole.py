"""A whole service in one process, and what is left of one that cannot start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kdray.errors import JobError
from kdray.served import audit
from kdray.spec.service import Keys, Service
from kdray.store import Store
from kdray_serve.whole import Whole


def test_a_service_without_its_keys_leaves_a_closed_audit_log(
    service: Callable[..., Service], tmp_path: Path
) -> None:
    storage = str(tmp_path / "storage")
    with pytest.raises(JobError, match=r"keys\.yaml"):
        Whole(service(auth=Keys(file=str(tmp_path / "keys.yaml")), storage=storage))
    [chain] = audit.verify(Store(storage), "t")
    assert chain.is_closed
    assert chain.problems == ()


def test_the_limit_of_each_line_is_told(service: Callable[..., Service], tmp_path: Path) -> None:
    whole = Whole(service(auth="none", storage=str(tmp_path / "storage")))
    text = whole.observed.text().decode()
    whole.observed.close()
    for line in ("predictions", "explanations", "previews"):
        assert f'kdray_queue_limit{{line="{line}"}} 64.0' in text
