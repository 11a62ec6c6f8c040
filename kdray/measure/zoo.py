"""Counts of the papers' models for the list of `kdray models`, kept in a file beside them.

``python -m kdray.measure.zoo`` writes the file anew; a test holds it against the models.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

import kdray
from kdray import parts
from kdray.measure.cost import macs, macs_ptflops
from kdray.models import build_model
from kdray.net import Net, Wants, look

FILE = Path(kdray.__file__).parent / "models" / "_counts.json"
#: Counts are for colour images of so many pixels, and for these numbers of classes.
IMAGE_SIZE, CLASSES = 224, (2, 1000)


def count(name: str) -> dict[str, Any]:
    """Return the counts of a preset for 224 px, without weights in memory.

    Returns:
        ``parameters`` and ``macs``: each the count without a class and what one class adds;
        ``taps``: name -> ``[D, h, w]``; ``heads``; ``attention``: how many maps.
    """
    few, many = (_on_meta(name, classes) for classes in CLASSES)
    shapes, heads, attention = few[2:]
    return {
        "parameters": _line(few[0], many[0]),
        "macs": _line(few[1], many[1]),
        "taps": shapes,
        "heads": heads,
        "attention": attention,
    }


def count_ptflops(name: str) -> list[int] | None:
    """Return the counts of ptflops in the same form; None where it cannot count. Takes seconds."""
    found = []
    for classes in CLASSES:
        net = build_model(name, {}, channels=3, classes=classes, image_size=IMAGE_SIZE)
        found.append(macs_ptflops(net.module, 3, IMAGE_SIZE)[0])
    few, many = found
    return None if few is None or many is None else _line(few, many)


def _on_meta(name: str, classes: int) -> tuple[int, int, dict[str, list[int]], list[str], int]:
    with torch.device("meta"):
        net = build_model(name, {}, channels=3, classes=classes, image_size=IMAGE_SIZE)
        images = torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE)
        net.module.eval()
        weights = sum(weight.numel() for weight in net.module.parameters())
        return weights, macs(net.module, images), _shapes(net, images), *_rest(net)


def _shapes(net: Net, images: torch.Tensor) -> dict[str, list[int]]:
    with torch.no_grad():
        seen = look(net, images, Wants(tuple(net.taps)))
    return {name: list(maps.shape[1:]) for name, maps in seen.maps.items()}


def _rest(net: Net) -> tuple[list[str], int]:
    return list(net.heads), len(net.attention)


def _line(few: int, many: int) -> list[int]:
    """Return the count without a class, and of one class: all heads are linear."""
    slope, rest = divmod(many - few, CLASSES[1] - CLASSES[0])
    if rest:
        raise ValueError(f"{many} - {few} is no multiple of the classes")
    return [few - slope * CLASSES[0], slope]


def main() -> None:
    """Write the file."""
    torch.set_num_threads(1)
    lines = []
    for name in parts.presets("models"):
        found = {**count(name), "macs_ptflops": count_ptflops(name)}
        lines.append(f" {json.dumps(name)}: {json.dumps(found)}")
        print(lines[-1], flush=True)
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
