from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdray.data import Dataset, fingerprint, prepare
from kdray.errors import DataError
from kdray.images import decode, fit
from kdray.spec.experiment import Data

Draw = Callable[..., Path]
Prepare = Callable[..., Dataset]
Settings = Callable[..., Data]


@pytest.fixture
def small(draw: Draw) -> None:
    """Draw 8 images to train and 2 to test of each of two classes."""
    for label in range(2):
        for number in range(10):
            split = "train" if number < 8 else "test"
            draw(f"{split}/class{label}/{number}.png", 100 * label + number)


@pytest.mark.usefixtures("small")
def test_images_are_those_of_the_files(prepared: Prepare, tmp_path: Path) -> None:
    dataset = prepared()
    for place in (0, 7, 19):
        data = (tmp_path / "raw" / dataset.ids[place]).read_bytes()
        np.testing.assert_array_equal(dataset.images([place])[0], fit(decode(data), 8, 1))


@pytest.mark.usefixtures("small")
def test_labels_are_places_in_the_sorted_classes(prepared: Prepare) -> None:
    dataset = prepared()
    assert dataset.info.classes == ("class0", "class1")
    for name, label in zip(dataset.ids, dataset.labels, strict=True):
        assert name.split("/")[1] == dataset.info.classes[label]


@pytest.mark.usefixtures("small")
def test_train_and_validation_are_always_there(prepared: Prepare) -> None:
    dataset = prepared(splits={"val": 0.25})
    assert dataset.splits == ("train", "val", "test")
    assert dataset.info.counts == {
        "train": {"class0": 6, "class1": 6},
        "val": {"class0": 2, "class1": 2},
        "test": {"class0": 2, "class1": 2},
    }
    assert [len(dataset.split(name)) for name in dataset.splits] == [12, 4, 4]


@pytest.mark.usefixtures("small")
def test_mean_and_std_are_of_the_train_split_alone(prepared: Prepare) -> None:
    dataset = prepared()
    pixels = dataset.images(dataset.split("train")).astype(np.float64) / 255
    assert dataset.info.mean == pytest.approx([pixels.mean()])
    assert dataset.info.std == pytest.approx([pixels.std()])


@pytest.mark.usefixtures("small")
def test_imagenets_mean_and_std_can_be_asked_for(prepared: Prepare) -> None:
    dataset = prepared(channels=3, normalize="imagenet")
    assert (dataset.info.mean, dataset.info.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert prepared(normalize="imagenet").info.mean == pytest.approx(
        [np.mean(dataset.info.mean)], abs=1e-3
    )


@pytest.mark.usefixtures("small")
def test_the_same_source_gives_the_same_bytes(prepared: Prepare, tmp_path: Path) -> None:
    assert prepared().info.hash == prepared().info.hash
    one, two = sorted(tmp_path.glob("prepared-*/images.arrow"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("change", ["pixels", "split", "size"])
def test_the_hash_changes_with(prepared: Prepare, draw: Draw, change: str) -> None:
    before = prepared().info.hash
    if change == "pixels":
        draw("train/class0/0.png", 999)
    fields = {"split": {"splits": {"seed": 1}}, "size": {"image_size": 9}}.get(change, {})
    assert prepared(**fields).info.hash != before


@pytest.mark.usefixtures("small")
def test_nothing_but_the_result_is_left_in_the_folder(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    content = prepare(settings(), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.json", "images.arrow"]
    assert json.loads((folder / "dataset.json").read_text()) == content


@pytest.mark.usefixtures("small")
def test_progress_ends_with_all_images(settings: Settings, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    (tmp_path / "out").mkdir()
    prepare(settings(), tmp_path / "out", lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (20, 20)


@pytest.mark.usefixtures("small")
def test_colour_is_kept_when_asked_for(prepared: Prepare) -> None:
    dataset = prepared(channels=3)
    assert dataset.images([0, 1]).shape == (2, 8, 8, 3)
    assert len(dataset.info.mean) == 3


@pytest.mark.usefixtures("small")
def test_an_unreadable_image_fails_with_its_name(prepared: Prepare, tmp_path: Path) -> None:
    (tmp_path / "raw/train/class0/3.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"1 images cannot be read, 0 may: train/class0/3\.png"):
        prepared()


@pytest.mark.usefixtures("small")
def test_unreadable_images_are_skipped_up_to_the_limit(prepared: Prepare, tmp_path: Path) -> None:
    intact = prepared()
    (tmp_path / "raw/train/class0/3.png").write_bytes(b"broken")
    dataset = prepared(bad_images={"skip_up_to": 1})
    assert [item["id"] for item in dataset.info.bad] == ["train/class0/3.png"]
    assert dataset.ids == tuple(name for name in intact.ids if name != "train/class0/3.png")
    kept = [place for place, name in enumerate(intact.ids) if name in dataset.ids]
    np.testing.assert_array_equal(dataset.images(range(19)), intact.images(kept))


@pytest.mark.usefixtures("small")
def test_a_test_class_that_is_not_trained_is_an_error(prepared: Prepare, draw: Draw) -> None:
    draw("test/class2/0.png", 500)
    with pytest.raises(DataError, match="'class2': has images in test, but none in train"):
        prepared()


@pytest.mark.usefixtures("small")
def test_an_extra_split_may_lack_classes_and_labels_go_by_name(
    prepared: Prepare, draw: Draw
) -> None:
    draw("shifted/class1/0.png", 500)
    dataset = prepared()
    assert dataset.splits == ("train", "val", "test", "shifted")
    assert dataset.labels[dataset.split("shifted")].tolist() == [1]


@pytest.mark.usefixtures("small")
def test_leaks_are_found_and_marked(prepared: Prepare, draw: Draw, tmp_path: Path) -> None:
    with Image.open(tmp_path / "raw/train/class0/3.png") as image:
        image.point(lambda value: value // 2 + 60).save(tmp_path / "raw/test/class0/near.png")
    draw("test/class1/equal.png", 107)  # the pixels of train/class1/7.png
    dataset = prepared()
    marked = {name for name, leak in zip(dataset.ids, dataset.leaks, strict=True) if leak}
    assert marked == {"test/class0/near.png", "test/class1/equal.png"}
    found = dataset.info.duplicates
    from_both = [leak for leak in found["leaks"] if leak["to"] == "test"]
    assert sum(leak["exact"] for leak in from_both) == 1
    assert sum(leak["near"] for leak in from_both) == 2
    assert found["marked"] == {"test": 2}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("check", "leaks"), [("none", 0), ("exact", 1), ("near", 1)])
def test_the_search_for_duplicates_can_be_limited(
    prepared: Prepare, draw: Draw, check: str, leaks: int
) -> None:
    draw("test/class1/equal.png", 107)
    assert prepared(duplicates={"check": check}).leaks.sum() == leaks


@pytest.mark.usefixtures("small")
def test_leaks_fail_where_the_job_says_so(prepared: Prepare, draw: Draw) -> None:
    prepared(duplicates={"on_leak": "fail"})
    draw("test/class1/equal.png", 107)
    with pytest.raises(DataError, match="1 of 5 in test"):
        prepared(duplicates={"on_leak": "fail"})


def test_duplicates_stay_on_one_side_of_a_split_that_kdray_makes(
    prepared: Prepare, draw: Draw
) -> None:
    for label in range(2):
        for number in range(30):
            draw(f"class{label}/{number}.png", 100 * label + number // 3)
    dataset = prepared(splits={"val": 0.2, "test": 0.2})
    assert not dataset.leaks.any()
    assert all(leak["any"] == 0 for leak in dataset.info.duplicates["leaks"])
    assert dataset.info.counts["val"] == {"class0": 6, "class1": 6}
    assert len(set(dataset.groups)) == 20


def test_flipped_copies_stay_together_where_they_are_looked_for(
    prepared: Prepare, draw: Draw, tmp_path: Path
) -> None:
    for label in range(2):
        for number in range(12):
            path = draw(f"class{label}/{number}.png", 100 * label + number)
            with Image.open(path) as image:
                mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            mirrored.save(path.with_name(f"_{number}_1.png"))
    assert len(set(prepared().groups)) == 48
    dataset = prepared(duplicates={"flips": True})
    assert len(set(dataset.groups)) == 24
    assert dataset.groups[dataset.ids.index("class0/_3_1.png")] == "class0/3.png"


def test_a_patient_in_both_given_splits_is_a_leak(
    prepared: Prepare, draw: Draw, tmp_path: Path
) -> None:
    lines = ["path,group"]
    for number in range(8):
        name = f"{'train' if number < 6 else 'test'}/x/{number}.png"
        draw(name, number)
        lines.append(f"{name},patient{number % 7}")
    (tmp_path / "raw/index.csv").write_text("\n".join(lines))
    dataset = prepared()
    assert [dataset.ids[place] for place in np.flatnonzero(dataset.leaks)] == ["test/x/7.png"]


def test_equal_images_of_two_classes_are_reported(prepared: Prepare, draw: Draw) -> None:
    for label in range(2):
        for number in range(6):
            draw(f"class{label}/{number}.png", number if number == 0 else 100 * label + number)
    found = prepared().info.duplicates["conflicts"]
    assert found == {"groups": 1, "examples": [["class0/0.png", "class1/0.png"]]}


def test_masks_are_kept_where_there_are_some(
    prepared: Prepare, draw: Draw, tmp_path: Path
) -> None:
    for number in range(4):
        draw(f"x/{number}.png", number)
    mask = np.zeros((24, 24), dtype=bool)
    mask[:12, 12:] = True
    Image.fromarray(mask).save(tmp_path / "raw/m.png")
    (tmp_path / "raw/index.csv").write_text("path,mask\nx/1.png,m.png\n")
    dataset = prepared(splits={"val": 0.3, "test": 0})
    assert dataset.has_mask.tolist() == [False, True, False, False]
    masks = dataset.masks([0, 1])
    assert masks is not None
    assert not masks[0].any()
    assert masks[1].tolist() == [[0] * 4 + [1] * 4] * 4 + [[0] * 8] * 4


@pytest.mark.usefixtures("small")
def test_without_masks_there_are_none(prepared: Prepare) -> None:
    assert prepared().masks([0]) is None


def test_an_image_listed_twice_is_an_error(prepared: Prepare, draw: Draw, tmp_path: Path) -> None:
    draw("a.png", 0)
    (tmp_path / "raw/t.csv").write_text("path,label\na.png,x\na.png,y\n")
    source = {"name": "table", "params": {"file": str(tmp_path / "raw/t.csv")}}
    with pytest.raises(DataError, match=r"'a.png' is listed more than once"):
        prepared(source)


def test_the_phantom_is_prepared_with_masks_and_without_leaks(prepared: Prepare) -> None:
    source = {"name": "phantom", "params": {"num_images": 80, "size": 32}}
    dataset = prepared(source, image_size=32)
    assert dataset.info.counts["train"]["ring"] > 10
    assert not dataset.leaks.any()
    masks = dataset.masks(range(80))
    assert masks is not None
    sick = dataset.labels != dataset.info.classes.index("none")
    np.testing.assert_array_equal(masks.any(axis=(1, 2)), sick)


def test_the_fingerprint_names_the_source(settings: Settings) -> None:
    source = {"name": "phantom", "params": {"num_images": 8}}
    assert fingerprint(settings(source)).startswith("phantom-")
    assert fingerprint(settings(source)) == fingerprint(settings(source, image_size=9))


def test_the_real_mini_set_is_clean_and_has_a_shifted_split(
    prepared: Prepare, real_images: Path
) -> None:
    source = {"name": "folder", "params": {"path": str(real_images / "brain_tumor_mini")}}
    dataset = prepared(source, image_size=32)
    assert [len(dataset.split(name)) for name in dataset.splits] == [204, 36, 80, 48]
    assert dataset.info.counts["shifted"]["notumor"] == 0
    assert not dataset.leaks.any()


def test_real_leaks_are_those_of_the_published_index(
    prepared: Prepare, real_images: Path, tmp_path: Path
) -> None:
    """Of one class: all that leaks into test and what it leaks from, and as many that do not."""
    whole = real_images / "brain_tumor"
    with (whole / "index.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["label"] == "meningioma"]
    leaky = [row for row in rows if row["leaks_into_train"] == "1"]
    clean = [row for row in rows if row["split"] == "test" and row["leaks_into_train"] == "0"]
    groups = {row["group"] for row in leaky}
    sources = [row for row in rows if row["split"] == "train" and row["group"] in groups]
    others = [row for row in rows if row["split"] == "train" and row["group"] not in groups][:60]
    table = tmp_path / "table.csv"
    lines = [
        f"{r['path']},{r['label']},{r['split']}" for r in leaky + clean[:60] + sources + others
    ]
    table.write_text("path,label,split\n" + "\n".join(lines))
    dataset = prepared({"name": "table", "params": {"file": str(table), "root": str(whole)}})
    marked = {name for name, leak in zip(dataset.ids, dataset.leaks, strict=True) if leak}
    assert len(marked) == 109
    assert marked == {row["path"] for row in leaky}
