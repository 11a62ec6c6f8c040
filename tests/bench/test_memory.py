"""What processes hold of a folder's files is counted once."""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

from kdray.bench._memory import Watch, mapped_bytes

SMAPS = """\
7f00-7f10 r--p 00000000 fe:00 12   /data/runs/steps/images.arrow
Size:                 64 kB
Rss:                  60 kB
Pss:                  30 kB
Pss_Dirty:             0 kB
7f10-7f20 r--p 00000000 fe:00 13   /data/runs2/other.arrow
Pss:                  99 kB
aa20-aa30 rw-p 00000000 00:00 0
Pss:                  77 kB
7f30-7f40 r--p 00000000 fe:00 14   /data/runs/knowledge/k/v0000-p0000.arrow
Pss:                   4 kB
"""


def test_only_the_files_of_the_folder_count_by_their_shares() -> None:
    assert mapped_bytes(SMAPS.splitlines(), "/data/runs") == 34 * 1024


def test_a_mapped_file_of_this_process_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "images"
    file.write_bytes(bytes(range(256)) * 4096)
    with file.open("rb") as opened, Watch(tmp_path, 0.01) as watch:
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as pages:
            watch.add(os.getpid())
            assert sum(pages[::4096]) >= 0
            for _ in range(500):
                if watch.most:
                    break
                time.sleep(0.01)
    assert watch.most == 2**20
