from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from kdray.data import folder
from kdray.errors import DataError

Draw = Callable[..., Path]


def found(root: Path, **params: object) -> dict[str, tuple[str | None, str]]:
    rows = folder.rows(folder.Params(path=str(root), **params))
    return {row.id: (row.split, row.label) for row in rows}


def test_class_folders_without_splits(draw: Draw, tmp_path: Path) -> None:
    draw("cat/1.png", 0)
    draw("dog/1.png", 1)
    assert found(tmp_path / "raw") == {"cat/1.png": (None, "cat"), "dog/1.png": (None, "dog")}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Training", "train"),
        ("TRAIN", "train"),
        ("Val", "val"),
        ("valid", "val"),
        ("Testing", "test"),
        ("Test", "test"),
    ],
)
def test_common_names_of_splits_are_known(
    draw: Draw, tmp_path: Path, name: str, split: str
) -> None:
    draw(f"{name}/cat/1.png", 0)
    assert found(tmp_path / "raw") == {f"{name}/cat/1.png": (split, "cat")}


def test_another_folder_of_the_same_classes_is_a_split_by_its_name(
    draw: Draw, tmp_path: Path
) -> None:
    for number, name in enumerate(("train/cat", "train/dog", "test/cat", "Shifted/dog")):
        draw(f"{name}/1.png", number)
    assert found(tmp_path / "raw")["Shifted/dog/1.png"] == ("Shifted", "dog")


def test_a_folder_of_something_else_is_no_split(draw: Draw, tmp_path: Path) -> None:
    draw("train/cat/1.png", 0)
    draw("masks/train/cat/1.png", 1)
    assert list(found(tmp_path / "raw")) == ["train/cat/1.png"]


def test_a_class_may_be_called_test(draw: Draw, tmp_path: Path) -> None:
    draw("test/1.png", 0)
    draw("control/1.png", 1)
    assert {label for _, label in found(tmp_path / "raw").values()} == {"test", "control"}


def test_only_the_images_folder_of_a_class_is_read(draw: Draw, tmp_path: Path) -> None:
    draw("Train/COVID-19/images/1.png", 0)
    draw("Train/COVID-19/lung masks/1.png", 1)
    assert found(tmp_path / "raw") == {"Train/COVID-19/images/1.png": ("train", "COVID-19")}


def test_folders_inside_a_class_are_read(draw: Draw, tmp_path: Path) -> None:
    draw("cat/patient1/1.png", 0)
    assert list(found(tmp_path / "raw")) == ["cat/patient1/1.png"]


def test_masks_and_checkpoints_are_left_out(draw: Draw, tmp_path: Path) -> None:
    draw("cat/1.png", 0)
    draw("cat/1_mask.png", 1)
    draw("cat/.ipynb_checkpoints/1.png", 2)
    assert list(found(tmp_path / "raw")) == ["cat/1.png"]


def test_a_pattern_may_name_a_path(draw: Draw, tmp_path: Path) -> None:
    draw("cat/1.png", 0)
    draw("cat/2.png", 1)
    assert list(found(tmp_path / "raw", exclude=["cat/2*"])) == ["cat/1.png"]


def test_only_images_are_read(draw: Draw, tmp_path: Path) -> None:
    for number, name in enumerate(("a.png", "b.JPG", "c.jpeg", "d.bmp", "e.tif")):
        draw(f"cat/{name}", number)
    (tmp_path / "raw" / "cat" / "notes.txt").write_text("no image")
    assert len(found(tmp_path / "raw")) == 5


def test_the_map_of_splits_names_all_that_is_read(draw: Draw, tmp_path: Path) -> None:
    for number, name in enumerate(("fold1", "fold2", "train")):
        draw(f"{name}/cat/1.png", number)
    assert found(tmp_path / "raw", splits={"fold1": "train", "fold2": "external"}) == {
        "fold1/cat/1.png": ("train", "cat"),
        "fold2/cat/1.png": ("external", "cat"),
    }


def test_classes_can_be_chosen(draw: Draw, tmp_path: Path) -> None:
    draw("train/cat/1.png", 0)
    draw("train/dog/1.png", 1)
    assert list(found(tmp_path / "raw", classes=["dog"])) == ["train/dog/1.png"]


def test_the_index_gives_groups_and_masks(draw: Draw, tmp_path: Path) -> None:
    draw("train/cat/1.png", 0)
    draw("train/cat/2.png", 0)
    Image.new("1", (24, 24), 1).save(tmp_path / "raw" / "m.png")
    index = "path,group,mask\ntrain/cat/1.png,patient 007,m.png\n"
    (tmp_path / "raw" / "index.csv").write_text(index)
    first, second = folder.rows(folder.Params(path=str(tmp_path / "raw")))
    assert (first.group, second.group, second.mask) == ("patient 007", None, None)
    assert first.mask is not None
    assert first.mask().all()


def test_an_index_of_other_images_is_an_error(draw: Draw, tmp_path: Path) -> None:
    draw("cat/1.png", 0)
    (tmp_path / "raw" / "index.csv").write_text("path,group\nelsewhere/1.png,1\n")
    with pytest.raises(DataError, match="names none of the images"):
        found(tmp_path / "raw")


def test_a_missing_folder_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        found(tmp_path / "nowhere")


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        found(tmp_path)


def test_the_fingerprint_stays_when_the_folder_moves(draw: Draw, tmp_path: Path) -> None:
    draw("cat/1.png", 0)
    before = folder.fingerprint(folder.Params(path=str(tmp_path / "raw")))
    shutil.move(tmp_path / "raw", tmp_path / "moved")
    assert folder.fingerprint(folder.Params(path=str(tmp_path / "moved"))) == before


@pytest.mark.parametrize("change", ["pixels", "name", "label", "group"])
def test_the_fingerprint_changes_with(draw: Draw, tmp_path: Path, change: str) -> None:
    image = draw("cat/1.png", 0)
    draw("dog/1.png", 1)
    params = folder.Params(path=str(tmp_path / "raw"))
    before = folder.fingerprint(params)
    if change == "pixels":
        draw("cat/1.png", 2)
    elif change == "name":
        image.rename(image.with_name("2.png"))
    elif change == "label":
        image.rename(tmp_path / "raw" / "dog" / "2.png")
    else:
        (tmp_path / "raw" / "index.csv").write_text("path,group\ncat/1.png,a\n")
    assert folder.fingerprint(params) != before
