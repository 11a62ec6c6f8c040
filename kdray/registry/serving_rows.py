"""What a package is served by, as rows of a table: network, calibration, unknown images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Facts = Mapping[str, Any]
Row = tuple[str, str]


def rows(serving: Facts | None) -> list[Row]:
    """Return (what, how) of the files of serving.

    Args:
        serving: What ``kdray.registry.serving.told`` gives; None: the package has no such files.
    """
    if not serving:
        return [("ONNX network", "none: it is served by PyTorch, its answers not calibrated")]
    without = "yes" if serving.get("gradient_maps_without_torch") else "no"
    samples = [("images to try", str(serving["samples"]))] if serving.get("samples") else []
    return [
        ("ONNX network", f"{serving.get('onnx_bytes') or 0:,} bytes"),
        ("gradient maps without PyTorch", without),
        *_confidence(serving.get("confidence")),
        *samples,
    ]


def _confidence(facts: Facts | None) -> Iterator[Row]:
    if not facts:
        yield "calibration", "none: it has no validation images"
        return
    images = f"{facts.get('validation_images', 0):,} validation images"
    temperature = f"temperature {facts['temperature']:.3f}"
    errors = [facts.get("ece_before"), facts.get("ece_after")]
    if None not in errors:
        temperature += f": calibration error {errors[0]:.3f}, after it {errors[1]:.3f}"
    yield "calibration", f"{temperature}, on {images}"
    for coverage, size in (facts.get("mean_classes_of_a_set") or {}).items():
        share = f"{float(coverage):.0%}"
        yield f"prediction sets that hold the truth for {share}", f"{size:.2f} classes on average"
    bank = facts.get("ood_bank")
    known = f"by the {facts.get('ood_k')} nearest of {bank:,} training images" if bank else "no"
    yield "tells unknown images", known
