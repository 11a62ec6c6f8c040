from __future__ import annotations

from pathlib import Path

import pytest

from kdray.errors import StoreError
from kdray.run.scratch import lend
from kdray.store import Store


def test_what_ray_leaves_is_removed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with lend(store, "work/ray") as uri:
        (Path(uri) / "tune").mkdir(parents=True)
    assert store.list("work") == []


def test_ray_without_keys_is_told_in_a_sentence(s3: str) -> None:
    refused = OSError("When creating key 'lab/': AWS Error ACCESS_DENIED during PutObject.")
    with pytest.raises(StoreError) as said, lend(Store(s3), "work/ray"):
        raise refused
    where = f"s3://{Store(s3).root}/work/ray"
    assert str(said.value).startswith(f"{where}: cannot be used by Ray: When creating key 'lab/'")
    assert "AWS_ACCESS_KEY_ID" in said.value.remedy
    assert said.value.__cause__ is refused


def test_a_full_disk_is_told_in_a_sentence(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    with (
        pytest.raises(StoreError, match=r"work/ray: cannot be used by Ray: .*No space left"),
        lend(Store(str(tmp_path)), "work/ray"),
    ):
        raise full


def test_errors_of_ray_itself_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), lend(Store(str(tmp_path)), "work/ray"):
        raise ConnectionError("the head is gone")
