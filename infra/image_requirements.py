"""Print the part of requirements.txt that an image needs, each line with its hashes.

    python infra/image_requirements.py NAMES... [--cpu] [--versions]    (in the repository)

NAMES are packages, or a file as `uv pip compile` writes it, whose packages are taken. Versions and
hashes are those of requirements.txt, whatever the file says.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

REQUIREMENTS = Path("requirements.txt")
#: What PyTorch's CPU build does without, or brings itself.
ONLY_GPU = re.compile(r"(nvidia|cuda)-.*|triton|torch|torchvision")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the lines that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME|FILE")
    parser.add_argument("--cpu", action="store_true", help="leave out what only GPUs need")
    parser.add_argument("--versions", action="store_true", help="without hashes")
    given = parser.parse_args(arguments)
    pinned = blocks(REQUIREMENTS.read_text(encoding="utf-8"))
    wanted = [name for name in named(given.names) if not (given.cpu and ONLY_GPU.fullmatch(name))]
    missing = [name for name in wanted if name not in pinned]
    if missing:
        sys.exit(f"not in {REQUIREMENTS}: {', '.join(missing)}")
    for block in (block for name in wanted for block in pinned[name]):
        print(block.partition(" \\\n")[0] if given.versions else block)


def blocks(text: str) -> dict[str, list[str]]:
    """Return name -> requirements with their hashes: one for each range of Pythons."""
    found: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=\S)", text.strip()):
        name = re.match(r"[a-z0-9][a-z0-9._-]*", block)
        if name:
            found.setdefault(name[0], []).append(block.rstrip())
    return found


def named(given: Iterable[str]) -> list[str]:
    """Return the packages that are meant, of files all that they pin."""
    found: list[str] = []
    for text in given:
        is_file = Path(text).is_file()
        found += blocks(Path(text).read_text(encoding="utf-8")) if is_file else [text]
    return found


if __name__ == "__main__":
    main()
