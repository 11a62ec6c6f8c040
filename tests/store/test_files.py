"""A store in a folder loads no library of a remote one."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from kdray.errors import StoreError
from kdray.store import Store

USED = """
import sys
from kdray.store import Store
store = Store(sys.argv[1])
with store.publish("a", {}) as folder:
    (folder / "one.txt").write_text("1")
assert store.replace("b", None, b"1") and store.list() == ["a", "b"] and store.fetch("a")
store.delete("a")
print(*sorted({"pyarrow", "boto3", "botocore", "torch", "numpy"} & set(sys.modules)))
"""


def test_a_local_store_loads_neither_pyarrow_nor_boto3(tmp_path: Path) -> None:
    command = [sys.executable, "-c", USED, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "\n"


def test_a_folder_that_was_copied_from_s3_is_read(remote: Store, tmp_path: Path) -> None:
    with remote.publish("steps/a", {"score": 1}) as folder:
        (folder / "one.txt").write_text("1")
    copy = Store(str(tmp_path / "copy"))
    for name in remote.sizes(""):
        copy.write(name, remote.read(name) or b"")
    assert copy.finished("steps/a") == {"score": 1}
    assert (copy.fetch("steps/a") / "one.txt").read_text() == "1"


def test_a_link_in_the_place_of_a_lock_is_not_followed(local: Store, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("kept")
    local.write("a/one", b"1")
    Path(local.path("a/.one.lock")).symlink_to(tmp_path / "theirs")
    with pytest.raises(StoreError, match="cannot be written"):
        local.replace("a/one", b"1", b"2")
    assert local.read("a/one") == b"1"
    assert (tmp_path / "theirs").read_text() == "kept"


@pytest.mark.parametrize("at", ["..", "../other", "/", "0123456789ab/..", 7])
def test_a_result_leads_to_no_folder_but_its_own(local: Store, at: object) -> None:
    local.write_json("a/result.json", {"_at": at})
    for reading in (lambda: local.fetch("a"), lambda: local.read_in("a", "one.txt")):
        with pytest.raises(StoreError, match="not below it"):
            reading()


def test_a_write_that_fails_leaves_nothing_behind(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.write("a/one", b"1")
    monkeypatch.setattr("os.fsync", _full)
    with pytest.raises(StoreError, match=r"lab/a/one: cannot be written: .*No space left"):
        local.write("a/one", b"2")
    with pytest.raises(StoreError, match=r"lab/b: cannot be written"), local.publish("b", {}):
        pass
    monkeypatch.undo()
    assert local.sizes("") == {"a/one": 1}
    assert local.read("a/one") == b"1"


def _full(handle: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_that_was_replaced_on_nfs_while_it_was_read_is_read_again(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.write("one", b"1")
    stale = iter([OSError(errno.ESTALE, "Stale file handle")])
    read = Path.read_bytes

    def reading(path: Path) -> bytes:
        for error in stale:
            raise error
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", reading)
    monkeypatch.setattr("kdray.store._retry.time.sleep", lambda seconds: None)
    assert local.read("one") == b"1"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "lab").write_text("a file")
    with pytest.raises(StoreError, match=r"lab/steps: cannot be written: .*Not a directory"):
        with Store(str(tmp_path / "lab")).publish("steps/a", {}):
            pass


def test_a_damaged_result_is_named(store: Store) -> None:
    store.write("a/result.json", b'{"score": ')
    with pytest.raises(StoreError, match=r"lab/a/result\.json: is damaged: Expecting value"):
        store.result("a")
