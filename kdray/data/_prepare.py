"""A source to one prepared data set: decoded, divided, checked for leaks, hashed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kdray import parts
from kdray.data import _duplicates as duplicates
from kdray.data import _known as known
from kdray.data._dataset import FACTS, FORMAT, IMAGES, split_order
from kdray.data._load import Loaded, Progress, load
from kdray.data._rows import Row
from kdray.data._splits import assign
from kdray.errors import DataError
from kdray.spec.experiment import Data, Duplicates

#: ImageNet's mean and deviation, by channel; of grey images, those of the channels' average.
_IMAGENET = {
    3: ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    1: ([0.449], [0.226]),
}
_BATCH_BYTES = 32 * 2**20
_SHOWN = 10


@dataclass(frozen=True)
class _Facts:
    """What is decided about each image, ``[N]`` each."""

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    splits: tuple[str, ...]
    groups: tuple[str, ...]
    leaks: NDArray[np.bool_]
    duplicates: dict[str, Any]


def fingerprint(data: Data) -> str:
    """Return a cheap hash of the source: nothing is decoded.

    Raises:
        DataError: The source is not there.
    """
    source = parts.load("data", data.source.name)
    params = source.Params.model_validate(data.source.params)
    return f"{data.source.name}-{source.fingerprint(params)}"


def prepare(data: Data, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Write the data set of a job into an existing, empty folder.

    Args:
        data: Which images, at which size, in which splits.
        folder: Gets ``dataset.json`` and ``images.arrow``; see ``Dataset.open``.
        progress: Told how many of how many images are decoded.

    Returns:
        The content of ``dataset.json``.

    Raises:
        DataError: The source is not there or contradicts itself, more images are unreadable than
            allowed, a split is empty, a class is not trained, or images leak and must not.
    """
    rows = _rows(data)
    scratch = folder / "pixels.tmp"
    try:
        loaded = load(rows, data, scratch, progress)
        _check_bad(loaded, data.bad_images.skip_up_to)
        facts = _decide(loaded, data)
        _write(folder / IMAGES, loaded, facts)
        content = _content(loaded, facts, data) | {"deviations": _deviations(rows, data)}
        del loaded
    finally:
        scratch.unlink(missing_ok=True)
    (folder / FACTS).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return content


def _rows(data: Data) -> list[Row]:
    source = parts.load("data", data.source.name)
    if not data.splits.use_given and hasattr(source, "KEEP_SPLITS"):
        raise DataError("data.splits.use_given", source.KEEP_SPLITS, "Use the given split.")
    rows = list(source.rows(source.Params.model_validate(data.source.params)))
    twice = [name for name, count in Counter(row.id for row in rows).items() if count > 1]
    if twice:
        raise DataError(
            "data.source", f"the image {twice[0]!r} is listed more than once.", "List each once."
        )
    return rows


def _deviations(rows: Sequence[Row], data: Data) -> list[dict[str, Any]]:
    """Return where the source's images are not as many as a public data set's should be."""
    source = parts.load("data", data.source.name)
    params = source.Params.model_validate(data.source.params)
    return known.differences(source, params, known.count(rows))


def _check_bad(loaded: Loaded, limit: int) -> None:
    if len(loaded.bad) > limit or not loaded.rows:
        shown = "; ".join(f"{item['id']} {item['problem']}" for item in loaded.bad[:_SHOWN])
        more = f" (and {len(loaded.bad) - _SHOWN} more)" if len(loaded.bad) > _SHOWN else ""
        raise DataError(
            "data.source",
            f"{len(loaded.bad)} images cannot be read, {limit} may: {shown}{more}",
            "Mend them, or raise data.bad_images.skip_up_to.",
        )


def _decide(loaded: Loaded, data: Data) -> _Facts:
    rows = loaded.rows
    kinds = _components(loaded, data.duplicates)
    classes = tuple(sorted({row.label for row in rows}))
    labels = np.array([classes.index(row.label) for row in rows], dtype=np.int64)
    groups = _group_names(rows, kinds["any"])
    splits = assign([row.split for row in rows], labels, kinds["any"], groups, data.splits)
    _check_classes(classes, labels, splits)
    seen = np.array([split in ("train", "val") for split in splits])
    leaks = duplicates.leaking(kinds["any"], seen) & ~seen
    report = _report(kinds, rows, splits, leaks, data.duplicates)
    return _Facts(classes, labels, tuple(splits), groups, leaks, report)


def _components(loaded: Loaded, settings: Duplicates) -> dict[str, duplicates.Components]:
    """Return who belongs together, by each reason and by any."""
    group = duplicates.equal([row.group or row.id for row in loaded.rows])
    kinds = {"group": group}
    if settings.check != "none":
        kinds["exact"] = duplicates.equal([image for image, _ in loaded.digests])
    if settings.check == "near":
        near = duplicates.near(loaded.thumbnails, settings.threshold, flips=settings.flips)
        kinds["near"] = duplicates.merge(kinds["exact"], near)
    return {**kinds, "any": duplicates.merge(*kinds.values())}


def _group_names(rows: Sequence[Row], components: duplicates.Components) -> tuple[str, ...]:
    """Name each component by the smallest of its groups' names or, without one, of its ids."""
    names: dict[int, str] = {}
    for row, component in zip(rows, components.tolist(), strict=True):
        name = row.group or row.id
        names[component] = min(name, names.get(component, name))
    return tuple(names[component] for component in components.tolist())


def _check_classes(
    classes: Sequence[str], labels: NDArray[np.int64], splits: Sequence[str]
) -> None:
    split_of = np.array(splits)
    for label, name in enumerate(classes):
        holders = split_order(split_of[labels == label].tolist())
        if "train" not in holders:
            raise DataError(
                f"class {name!r}",
                f"has images in {', '.join(holders)}, but none in train.",
                "Give some to train on, or leave the class out.",
            )


def _report(
    kinds: Mapping[str, duplicates.Components],
    rows: Sequence[Row],
    splits: Sequence[str],
    marked: NDArray[np.bool_],
    settings: Duplicates,
) -> dict[str, Any]:
    labels = [row.label for row in rows]
    looked = {kind: kinds[kind] for kind in ("exact", "near") if kind in kinds}
    leaks = duplicates.leaks(kinds, splits, split_order(splits), labels)
    found = [leak for leak in leaks if leak["from"] in ("train", "val") and leak["any"]]
    if found and settings.on_leak == "fail":
        told = ", ".join(f"{item['any']} of {item['of']} in {item['to']}" for item in found)
        raise DataError(
            "data.duplicates",
            f"images leak from train or validation: {told}.",
            "Remove them, or set on_leak: mark to score the clean part as well.",
        )
    finest = looked.get("near", looked.get("exact"))
    ids = [row.id for row in rows]
    return {
        "check": settings.check,
        "threshold": settings.threshold if settings.check == "near" else None,
        "flips": settings.flips,
        "repeated": {kind: duplicates.repeated(parts) for kind, parts in looked.items()},
        "leaks": leaks,
        "marked": dict(Counter(np.array(splits)[marked].tolist())),
        "conflicts": None if finest is None else duplicates.conflicts(finest, labels, ids),
    }


def _write(path: Path, loaded: Loaded, facts: _Facts) -> None:
    names = loaded.records.dtype.names or ()
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("label", pa.int64()),
            ("split", pa.string()),
            ("group", pa.string()),
            ("leak", pa.bool_()),
            *((name, pa.binary(loaded.records.dtype[name].itemsize)) for name in names),
        ]
    )
    step = max(1, _BATCH_BYTES // loaded.records.dtype.itemsize)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for start in range(0, len(loaded.rows), step):
            part = slice(start, start + step)
            columns = [
                pa.array([row.id for row in loaded.rows[part]], pa.string()),
                pa.array(facts.labels[part]),
                pa.array(facts.splits[part], pa.string()),
                pa.array(facts.groups[part], pa.string()),
                pa.array(facts.leaks[part]),
                *(_binary(name, loaded, part) for name in names),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _binary(name: str, loaded: Loaded, part: slice) -> pa.Array:
    values = np.ascontiguousarray(loaded.records[part][name])
    valid = None
    if name == "mask":
        there = np.array([row.mask is not None for row in loaded.rows[part]])
        valid = pa.py_buffer(np.packbits(there, bitorder="little").tobytes())
    kind = pa.binary(values[0].nbytes)
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(values)])


def _content(loaded: Loaded, facts: _Facts, data: Data) -> dict[str, Any]:
    if data.normalize == "imagenet":
        mean, std = _IMAGENET[data.channels]
    else:
        mean, std = _mean_and_std(loaded, facts, data.image_size)
    counts = {split: dict.fromkeys(facts.classes, 0) for split in split_order(facts.splits)}
    for split, label in zip(facts.splits, facts.labels.tolist(), strict=True):
        counts[split][facts.classes[label]] += 1
    return {
        "format": FORMAT,
        "classes": list(facts.classes),
        "image_size": data.image_size,
        "channels": data.channels,
        "mean": mean,
        "std": std,
        "hash": _hash(loaded, facts),
        "counts": counts,
        "duplicates": facts.duplicates,
        "bad": list(loaded.bad),
        "source": data.source.model_dump(mode="json"),
    }


def _mean_and_std(loaded: Loaded, facts: _Facts, size: int) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of the train split's pixels, 0..1, by channel."""
    trained = np.array([split == "train" for split in facts.splits])
    total, squares = loaded.sums[trained].sum(axis=0)
    pixels = int(trained.sum()) * size * size
    mean = total / pixels
    deviation = np.sqrt(np.maximum(squares / pixels - mean**2, 0))
    # One grey level at least: images of a single colour must not divide by zero.
    return (mean / 255).tolist(), (np.maximum(deviation, 1) / 255).tolist()


def _hash(loaded: Loaded, facts: _Facts) -> str:
    total = hashlib.sha256()
    for place, (row, digests) in enumerate(zip(loaded.rows, loaded.digests, strict=True)):
        told = (row.id, row.label, facts.splits[place], facts.groups[place])
        total.update(repr(told).encode())
        total.update(b"".join(digests))
    return total.hexdigest()
