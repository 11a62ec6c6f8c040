from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdray.data import abide
from kdray.errors import DataError

nibabel = pytest.importorskip("nibabel", reason="the extra `abide` is not installed")
pytest.importorskip("nilearn", reason="the extra `abide` is not installed")

AFFINE = np.array([[-12, 0, 0, 90], [0, 12, 0, -126], [0, 0, 12, -72], [0, 0, 0, 1.0]])


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Write two subjects of NYU with 5 volumes each, and some who are not to be read."""
    root = tmp_path / "ABIDE_pcp"
    folder = root / "cpac" / "filt_noglobal"
    folder.mkdir(parents=True)
    lines = ["SUB_ID,SITE_ID,FILE_ID,DX_GROUP"]
    for id, site, name, group in (
        (50952, "NYU", "NYU_0050952", 1),
        (50953, "NYU", "NYU_0050953", 2),
        (50954, "NYU", "no_filename", 1),
        (50955, "NYU", "NYU_0050955", 1),
        (50002, "PITT", "Pitt_0050002", 1),
    ):
        lines.append(f"{id},{site},{name},{group}")
    (root / abide.TABLE).write_text("\n".join(lines))
    for seed, name in enumerate(("NYU_0050952", "NYU_0050953", "Pitt_0050002")):
        values = np.random.default_rng(seed).normal(size=(15, 18, 15, 5)).astype(np.float32)
        image = nibabel.Nifti1Image(values, AFFINE)
        nibabel.save(image, folder / f"{name}_func_preproc.nii.gz")
    return str(tmp_path)


def test_each_volume_is_an_image_grouped_by_subject(data: str) -> None:
    rows = list(abide.rows(abide.Params(path=data, volumes=None)))
    assert [(row.id, row.label, row.group) for row in rows[:6:5]] == [
        ("NYU_0050952/t000", "autism", "50952"),
        ("NYU_0050953/t000", "control", "50953"),
    ]
    assert len(rows) == 10
    assert {row.split for row in rows} == {None}


def test_volumes_are_spread_over_time(data: str) -> None:
    rows = list(abide.rows(abide.Params(path=data, volumes=2)))
    assert [row.id[-4:] for row in rows] == ["t001", "t003"] * 2


def test_all_sites_or_listed_subjects_can_be_read(data: str, tmp_path: Path) -> None:
    everyone = abide.rows(abide.Params(path=data, site=None))
    assert {row.group for row in everyone} == {"50952", "50953", "50002"}
    (tmp_path / "ids.txt").write_text("0050953\n")
    listed = abide.rows(abide.Params(path=data, subjects=str(tmp_path / "ids.txt")))
    assert {row.group for row in listed} == {"50953"}


def test_a_slice_is_the_middle_one_from_black_to_white(data: str) -> None:
    row = next(abide.rows(abide.Params(path=data, picture="slice")))
    with Image.open(BytesIO(row.read())) as image:
        assert (image.size, image.mode, image.getextrema()[0] < 30) == ((224, 224), "L", True)
    path = Path(data) / "ABIDE_pcp/cpac/filt_noglobal/NYU_0050952_func_preproc.nii.gz"
    middle = np.asarray(nibabel.load(path).dataobj)[:, :, 7, 0]
    brightest = np.unravel_index(middle.argmax(), middle.shape)
    with Image.open(BytesIO(row.read())) as image:
        pixels = np.asarray(image)
    x, y = (brightest[0] + 0.5) / 15, 1 - (brightest[1] + 0.5) / 18
    assert pixels[int(y * 224), int(x * 224)] > 200


def test_a_glass_brain_is_drawn_once_and_kept(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    params = abide.Params(path=data, volumes=1)
    row = next(abide.rows(params))
    picture = row.read()
    with Image.open(BytesIO(picture)) as image:
        assert image.size == (224, 224)
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
        assert len(np.unique(pixels, axis=0)) > 100
    monkeypatch.setattr(abide, "_glass", None)
    assert next(abide.rows(params)).read() == picture


def test_other_settings_have_pictures_of_their_own(data: str) -> None:
    caches = {
        abide._cache(abide.Params.model_validate({"path": data, **settings}))
        for settings in ({}, {"picture": "slice"}, {"threshold": 1.0}, {"signed": False})
    }
    assert len(caches) == 4


def test_a_changed_file_is_drawn_anew(data: str) -> None:
    params = abide.Params(path=data, picture="slice", volumes=1)
    before = [row.read() for row in abide.rows(params)]
    path = Path(data) / "ABIDE_pcp/cpac/filt_noglobal/NYU_0050952_func_preproc.nii.gz"
    values = np.asarray(nibabel.load(path).dataobj)[::-1].copy()
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), path)
    after = [row.read() for row in abide.rows(params)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True]


def test_expected_counts_are_of_the_subjects_times_their_volumes() -> None:
    counts = abide.expected(abide.Params(path="x", volumes=2))
    assert counts == {"all": {"autism": 150, "control": 200}}
    assert abide.expected(abide.Params(path="x")) == abide.COUNTS
    assert abide.expected(abide.Params(path="x", site=None)) == {}


def test_without_nilearn_the_error_says_what_to_install(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(DataError, match=r"pip install kdray\[abide\]"):
        list(abide.rows(abide.Params(path=data)))
