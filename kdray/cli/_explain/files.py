"""The files of explanations: a folder an image, each file written whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from kdray.cli._explain.images import RESULT, Source, unique
from kdray.cli._explain.maps import Map
from kdray.cli._explain.pictures import png, side_by_side
from kdray.infer import Floats, Images
from kdray.maps import overlay
from kdray.store import Store

#: All explanations of one command, in its folder.
ALL_RESULTS = "explanations.json"


class Files:
    """Where the explanations go.

    Args:
        folder: Made where it is not there; files of the same names are replaced.
        titles: What pictures call the model and the one that it is compared with.
    """

    def __init__(self, folder: Path, titles: Sequence[str] = ()) -> None:
        self._store = Store(str(folder))
        self._titles = titles
        self._taken: dict[str, set[str]] = {}

    def write_map(
        self, source: Source, title: str, pixels: Images, maps: Sequence[Map]
    ) -> dict[str, str | None]:
        """Write what can be drawn of a map, and return the names; None where nothing can.

        Args:
            source: The image.
            title: Method and class.
            pixels: The image at its own size.
            maps: That of the model, and of the one that it is compared with, if any.
        """
        base = f"{source.name}/{unique(title, self._taken.setdefault(source.name, set()))}"
        overlay_name = map_name = None
        if maps[0].values is not None:
            picture = overlay(pixels, np.ascontiguousarray(maps[0].values))
            overlay_name = self._write(f"{base}.png", png(picture))
            map_name = self._write(f"{base}.npy", _npy(maps[0].values))
        written = {"overlay": overlay_name, "map": map_name}
        return written | self._write_pair(base, pixels, maps) if len(maps) > 1 else written

    def write_image(self, source: Source, record: Mapping[str, Any]) -> None:
        """Write what is known of an image."""
        self._write(f"{source.name}/{RESULT}", _json(record))

    def write_all(self, answer: Mapping[str, Any]) -> None:
        """Write what is known of all images."""
        self._write(ALL_RESULTS, _json(answer))

    def _write_pair(self, base: str, pixels: Images, maps: Sequence[Map]) -> dict[str, str | None]:
        titled = list(zip(self._titles, maps, strict=True))
        row = side_by_side(pixels, titled[::-1])  # the teacher first
        theirs = maps[1].values
        return {
            "side_by_side": self._write(f"{base}.teacher.png", png(row)),
            "teacher_map": None
            if theirs is None
            else self._write(f"{base}.teacher.npy", _npy(theirs)),
        }

    def _write(self, name: str, data: bytes) -> str:
        self._store.write(name, data)
        return name


def _npy(values: Floats) -> bytes:
    buffer = BytesIO()
    np.save(buffer, np.ascontiguousarray(values, dtype=np.float32), allow_pickle=False)
    return buffer.getvalue()


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False).encode()
