"""ABIDE I: brain activity of autism and control, one picture a volume, grouped by subject (DFKD).

Layout, as nilearn fetches it: ``ABIDE_pcp/Phenotypic_V1_0b_preprocessed1.csv`` and
``ABIDE_pcp/{pipeline}/{strategy}/{FILE_ID}_{derivative}.nii.gz``. Each time point of a 4D image is
a picture of its own (Ahmed et al., 2020): a glass brain seen from above (nilearn), or an axial
slice. Pictures are drawn once and kept in a folder. Extra ``abide``.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from kdray.data._files import FileRow, file_fingerprint, head
from kdray.data._known import holder, locate
from kdray.data._rows import Row
from kdray.data._tables import read_columns
from kdray.errors import DataError
from kdray.spec.strict import Strict

CLASSES = ("autism", "control")
COUNTS = {"all": {"autism": 750, "control": 1000}}
GET = (
    "nilearn fetches it: `kdray data fetch abide --to DIR` (NYU, C-PAC, func_preproc), or "
    "nilearn.datasets.fetch_abide_pcp(pipeline='cpac', band_pass_filtering=True, "
    "derivatives=['func_preproc'], SITE_ID='NYU')."
)
FETCHED_BY = "nilearn"
LICENCE = "not stated where kdray looked; see the ABIDE site"
NOTES = (
    "Counts are for NYU with 10 volumes a subject: 175 subjects have files (75 autism, 100 "
    "control); 172 (74, 98) pass nilearn's quality filter. DFKD's 174 (75, 99) is neither.",
    "DFKD does not say that a subject stays on one side of a split, and its accuracy needs more "
    "test images than there are test subjects: with groups, as here, expect far less.",
)
#: Subjects with files at NYU.
NYU = {"autism": 75, "control": 100}
#: Settings that say where the images lie, not which they are: the fingerprint stands for them.
PLACE = ("path", "cache")
#: Changes when the drawing does, so that old pictures are not mistaken for new ones.
DRAWING = 1
#: Side of the pictures, pixels.
SIDE = 224
TABLE = "Phenotypic_V1_0b_preprocessed1.csv"


class Params(Strict):
    """Which subjects, which of their volumes, and how these are drawn."""

    path: str = Field(min_length=1)
    """The folder that holds ABIDE_pcp, as nilearn made it, or ABIDE_pcp itself."""
    site: str | None = "NYU"
    """SITE_ID of the subjects; null: all sites."""
    pipeline: Literal["cpac", "css", "dparsf", "niak"] = "cpac"
    """The preprocessing."""
    strategy: Literal["filt_noglobal", "filt_global", "nofilt_noglobal", "nofilt_global"] = (
        "filt_noglobal"
    )
    """Band-pass filter and global signal regression, or not."""
    derivative: str = "func_preproc"
    """Which images: func_preproc (4D), or a single volume such as alff, reho, func_mean."""
    volumes: int | None = Field(10, ge=1)
    """Time points of each subject, spread evenly; null: all."""
    subjects: str | None = None
    """Text file of SUB_IDs to take, one a line; null: all of the site that are there."""
    picture: Literal["glass", "slice"] = "glass"
    """`glass`: maximum projection from above onto an outline (nilearn); `slice`: the middle axial
    slice, grey."""
    threshold: float | None = None
    """Glass brain: values nearer to 0 are left out; null: none are, alike for all images."""
    signed: bool = True
    """Glass brain: positive and negative values in different colours; nilearn's default is not."""
    vmax: float | None = Field(None, gt=0)
    """Glass brain: value of the strongest colour; null: each volume's own."""
    cache: str | None = None
    """Folder for the pictures; null: kdray-pictures in `path`."""


@dataclass(frozen=True)
class _Subject:
    id: str
    label: str
    name: str
    path: Path


def rows(params: Params) -> Iterator[Row]:
    """Yield the pictures, subject after subject.

    Raises:
        DataError: The data or nilearn are missing.
    """
    nibabel = _library()
    cache = _cache(params)
    for subject in _subjects(params):
        length = _length(nibabel.load(subject.path).shape)
        times = _times(length, params.volumes)
        drawn = _Drawn(subject, times, _pictures(cache, subject), params, threading.Lock())
        for time in times:
            name = f"{subject.name}/t{time:03d}"
            yield Row(name, subject.label, partial(drawn.read, time), group=subject.id)


def fingerprint(params: Params) -> str:
    """Return a hash of the subjects, and of sizes and the first 64 KiB of their files."""
    files = (FileRow(one.name, one.label, one.path, group=one.id) for one in _subjects(params))
    return f"{DRAWING}-{file_fingerprint(files)}"


def expected(params: Params) -> Mapping[str, Mapping[str, int]]:
    """Return the counts at NYU; empty where the settings choose otherwise."""
    if params.site != "NYU" or params.volumes is None or params.subjects is not None:
        return {}
    volumes = params.volumes if params.derivative == "func_preproc" else 1
    return {"all": {name: count * volumes for name, count in NYU.items()}}


def fetch(to: Path) -> str:
    """Download what DFKD uses: NYU, C-PAC, filtered, without global signal regression, 4D.

    Raises:
        DataError: nilearn is missing, or cannot reach the data.
    """
    _library()
    from nilearn.datasets import fetch_abide_pcp

    try:
        fetch_abide_pcp(
            data_dir=str(to),
            pipeline="cpac",
            band_pass_filtering=True,
            global_signal_regression=False,
            derivatives=["func_preproc"],
            quality_checked=False,
            SITE_ID="NYU",
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(
            "ABIDE", f"cannot be fetched: {error}.", "Is the network there? Try again: it goes on."
        ) from error
    return str(to / "ABIDE_pcp")


def _library() -> Any:
    try:
        import nibabel
        import nilearn  # noqa: F401 - it draws; better to fail here than at the first picture
    except ImportError as error:
        raise DataError("abide", "needs nilearn.", "Run `pip install kdray[abide]`.") from error
    return nibabel


def _root(params: Params) -> Path:
    return locate(params.path, holder(TABLE), f"ABIDE_pcp/{TABLE}", GET)


def _cache(params: Params) -> Path:
    """Return the folder for the pictures that these settings give."""
    base = Path(params.cache).expanduser() if params.cache else _root(params) / "kdray-pictures"
    said = ("pipeline", "strategy", "derivative", "picture", "threshold", "signed", "vmax")
    settings = [DRAWING, *(getattr(params, name) for name in said)]
    return base / hashlib.sha256(repr(settings).encode()).hexdigest()[:16]


def _pictures(cache: Path, subject: _Subject) -> Path:
    """Return the folder for the pictures of a subject's file as it is now: size and head."""
    return cache / f"{subject.name}-{hashlib.sha256(head(subject.path)).hexdigest()[:16]}"


def _subjects(params: Params) -> list[_Subject]:
    """Return the subjects whose files are there, in the order of the table."""
    root = _root(params)
    wanted = _wanted(params)
    columns = read_columns(root / TABLE, ["SUB_ID", "SITE_ID", "FILE_ID", "DX_GROUP"])
    names = ("SUB_ID", "SITE_ID", "FILE_ID", "DX_GROUP")
    found: list[_Subject] = []
    for id, site, name, group in zip(*(columns[key] for key in names), strict=True):
        if id is None or name in (None, "no_filename") or site != (params.site or site):
            continue
        folder = root / params.pipeline / params.strategy
        path = folder / f"{name}_{params.derivative}.nii.gz"
        if (wanted is None or id in wanted) and path.is_file():
            label = "autism" if group == "1" else "control"
            found.append(_Subject(id, label, str(name), path))
    if not found:
        problem = f"holds no {params.derivative} image of the subjects of {params.site}."
        raise DataError(str(root), problem, GET)
    return found


def _wanted(params: Params) -> set[str] | None:
    if params.subjects is None:
        return None
    path = Path(params.subjects).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").split()
    except OSError as error:
        raise DataError(str(path), f"cannot be read: {error.strerror}.") from error
    return {line.lstrip("0") for line in lines} | set(lines)


def _length(shape: Sequence[int]) -> int:
    return shape[3] if len(shape) > 3 else 1


def _times(length: int, volumes: int | None) -> list[int]:
    """Return ``volumes`` time points in the middles of equal spans, or all."""
    if volumes is None or volumes >= length:
        return list(range(length))
    return [int((2 * number + 1) * length / (2 * volumes)) for number in range(volumes)]


#: matplotlib draws in one thread at a time.
_CANVAS = threading.Lock()


@dataclass(frozen=True)
class _Drawn:
    """The pictures of one subject; all are drawn when the first is read, the file being packed."""

    subject: _Subject
    times: Sequence[int]
    folder: Path
    params: Params
    lock: threading.Lock

    def read(self, time: int) -> bytes:
        """Return the picture of a time point, PNG."""
        path = self._path(time)
        with self.lock:
            if not path.is_file():
                self._draw()
        return path.read_bytes()

    def _path(self, time: int) -> Path:
        return self.folder / f"t{time:03d}.png"

    def _draw(self) -> None:
        import nibabel

        image = nibabel.load(self.subject.path)
        try:
            values = np.asarray(image.dataobj, dtype=np.float32)
        except (OSError, EOFError, ValueError) as error:
            raise DataError(self.subject.name, f"cannot be read: {error}.") from error
        values = values.reshape(*values.shape[:3], -1)
        for time in self.times:
            path = self._path(time)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}.png")
            volume = np.nan_to_num(values[:, :, :, time])
            if self.params.picture == "slice":
                _slice(volume).save(part)
            else:
                _glass(nibabel.Nifti1Image(volume, image.affine), part, self.params)
            part.replace(path)  # whole or not at all


def _slice(volume: NDArray[np.float32]) -> Image.Image:
    """Return the middle axial slice from its smallest to its largest value, front up, a square."""
    middle = np.rot90(volume[:, :, volume.shape[2] // 2])
    span = float(np.ptp(middle)) or 1.0
    grey = Image.fromarray(np.rint((middle - middle.min()) * (255 / span)).astype(np.uint8))
    return grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def _glass(volume: Any, path: Path, params: Params) -> None:
    """Write a glass brain without colour bar and annotation, on white, ``SIDE`` pixels."""
    from matplotlib.figure import Figure
    from nilearn.plotting import plot_glass_brain

    with _CANVAS:
        figure = Figure(figsize=(SIDE / 100, SIDE / 100), dpi=100)
        plot_glass_brain(
            volume,
            display_mode="z",
            threshold=params.threshold,
            plot_abs=not params.signed,
            vmax=params.vmax,
            colorbar=False,
            annotate=False,
            figure=figure,
        )
        figure.savefig(path, dpi=100)
