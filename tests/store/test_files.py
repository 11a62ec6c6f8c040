"""A store in a folder loads no library of a remote one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
