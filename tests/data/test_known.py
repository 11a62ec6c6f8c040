"""Public data sets: each source on a look-alike of its layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdray.data import (
    Dataset,
    _known,
    alzheimer,
    brain_tumor,
    covid_qu_ex,
    eye_disease,
    ham10000,
    lc25000,
)
from kdray.errors import DataError
from kdray.parts import header

Draw = Callable[..., Path]
Prepare = Callable[..., Dataset]
KNOWN = {
    "abide": "nilearn",
    "alzheimer": "tourist55",
    "brain_tumor": "masoudnickparvar",
    "covid_qu_ex": "anasmohammedtahir",
    "eye_disease": "gunavenkatdoddi",
    "ham10000": "DVN/DBW86T",
    "lc25000": "tampapath",
}


@pytest.mark.parametrize(("name", "word"), KNOWN.items())
def test_a_missing_data_set_is_an_error_that_says_where_to_get_it(
    name: str, word: str, tmp_path: Path
) -> None:
    if name == "abide":
        pytest.importorskip("nilearn")
    from kdray import parts

    source = parts.load("data", name)
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError, match=word):
            list(source.rows(source.Params(path=str(path))))


@pytest.mark.parametrize("name", KNOWN)
def test_what_a_source_knows_is_told_without_importing_it(name: str) -> None:
    constants = header("data", name).constants
    for key in ("CLASSES", "COUNTS", "GET", "LICENCE", "NOTES", "PLACE"):
        assert constants[key]
    named = {label for counts in constants["COUNTS"].values() for label in counts}
    assert named <= {*constants["CLASSES"], "*"}


def test_totals_are_those_of_the_publications() -> None:
    def total(counts: dict[str, dict[str, int]], split: str) -> int:
        return sum(counts[split].values())

    assert (total(brain_tumor.COUNTS, "train"), total(brain_tumor.COUNTS, "test")) == (5712, 1311)
    assert [total(covid_qu_ex.COUNTS, split) for split in covid_qu_ex.COUNTS] == [
        21715,
        5417,
        6788,
        33920,
    ]
    for label, number in covid_qu_ex.COUNTS["all"].items():
        assert number == sum(covid_qu_ex.COUNTS[one][label] for one in ("train", "val", "test"))
    assert (total(ham10000.COUNTS, "all"), total(ham10000.COUNTS, "test")) == (10015, 828)
    assert total(alzheimer.COUNTS, "train") + total(alzheimer.COUNTS, "test") == 6400
    assert total(lc25000.COUNTS, "all") == 25000


def test_deviations_name_split_class_and_both_numbers() -> None:
    wanted = {"train": {"a": 2, "b": 3}, "all": {"a": 5, "*": 9}}
    found = {"train": {"a": 2, "b": 4}, "test": {"a": 3}}
    assert _known.deviations(wanted, found) == [
        {"split": "train", "class": "b", "expected": 3, "found": 4}
    ]


def test_brain_tumor_reads_either_name_of_its_folders(draw: Draw, tmp_path: Path) -> None:
    for number, label in enumerate(brain_tumor.CLASSES):
        draw(f"archive/Training/{label}/Tr-{number}.png", number)
        draw(f"archive/Testing/{label}/Te-{number}.png", 50 + number)
    rows = list(brain_tumor.rows(brain_tumor.Params(path=str(tmp_path / "raw"))))
    assert _known.count(rows) == {
        "train": dict.fromkeys(brain_tumor.CLASSES, 1),
        "test": dict.fromkeys(brain_tumor.CLASSES, 1),
    }
    assert rows[0].id == "Testing/glioma/Te-0.png"


def test_the_real_brain_tumor_copy_lacks_four_images(real_images: Path) -> None:
    params = brain_tumor.Params(path=str(real_images / "brain_tumor"))
    found = _known.count(brain_tumor.rows(params))
    assert _known.deviations(brain_tumor.COUNTS, found) == [
        {"split": "train", "class": "notumor", "expected": 1595, "found": 1591}
    ]
    assert _known.differences(brain_tumor, params, found) == []
    found["train"]["notumor"] += 1
    assert len(_known.differences(brain_tumor, params, found)) == 1


def test_alzheimer_is_found_in_its_folder(draw: Draw, tmp_path: Path) -> None:
    for number, label in enumerate(alzheimer.CLASSES):
        for split in ("train", "test"):
            draw(f"Alzheimer_s Dataset/{split}/{label}/{number}.png", number)
    rows = alzheimer.rows(alzheimer.Params(path=str(tmp_path / "raw")))
    assert Counter(row.split for row in rows) == {"train": 4, "test": 4}


def test_eye_disease_is_undivided(draw: Draw, tmp_path: Path) -> None:
    for number, label in enumerate(eye_disease.CLASSES):
        draw(f"dataset/{label}/{number}_left.png", number)
    rows = list(eye_disease.rows(eye_disease.Params(path=str(tmp_path / "raw"))))
    assert [(row.split, row.label) for row in rows] == [(None, x) for x in eye_disease.CLASSES]


@pytest.fixture
def covid(draw: Draw, tmp_path: Path) -> str:
    """Draw both parts of COVID-QU-Ex: 4, 2 and 2 images a class, and their masks."""
    number = 0
    for part in ("Lung", "Infection"):
        for split, count in (("Train", 4), ("Val", 2), ("Test", 2)):
            for label in covid_qu_ex.CLASSES:
                for place in range(count):
                    number += 1
                    folder = f"{part} Segmentation Data/{part} Segmentation Data/{split}/{label}"
                    draw(f"{folder}/images/{place}.png", number)
                    mask = np.zeros((24, 24), dtype=np.uint8)
                    mask[: 6 if part == "Lung" else 3] = 255
                    for kind in ("lung", "infection") if part == "Infection" else ("lung",):
                        path = tmp_path / "raw" / folder / f"{kind} masks" / f"{place}.png"
                        path.parent.mkdir(exist_ok=True)
                        Image.fromarray(mask).save(path)
    return str(tmp_path / "raw")


def test_covid_qu_ex_reads_images_and_never_masks_as_images(covid: str) -> None:
    found = _known.count(covid_qu_ex.rows(covid_qu_ex.Params(path=covid)))
    assert found == {
        "train": dict.fromkeys(covid_qu_ex.CLASSES, 4),
        "val": dict.fromkeys(covid_qu_ex.CLASSES, 2),
        "test": dict.fromkeys(covid_qu_ex.CLASSES, 2),
    }


def test_covid_qu_ex_gives_the_masks_of_its_part(covid: str) -> None:
    for part, masks, share in (("lung", "lung", 6), ("infection", "infection", 3)):
        params = covid_qu_ex.Params(path=covid, part=part, masks=masks)
        for row in covid_qu_ex.rows(params):
            assert row.mask is not None
            assert row.mask().sum() == 24 * share


def test_the_lung_part_has_no_infection_masks() -> None:
    with pytest.raises(ValueError, match="part `infection` only"):
        covid_qu_ex.Params(path="x", masks="infection")


def test_the_split_of_covid_qu_ex_cannot_be_replaced(prepared: Prepare, covid: str) -> None:
    source = {"name": "covid_qu_ex", "params": {"path": covid}}
    assert prepared(source).info.counts["val"] == dict.fromkeys(covid_qu_ex.CLASSES, 2)
    for splits in ({"use_given": False}, {"folds": {}}):
        with pytest.raises(DataError, match=r"no patient ids|gives a test split"):
            prepared(source, splits=splits)


@pytest.fixture
def tiles(draw: Draw, tmp_path: Path) -> str:
    """Draw two tiles of each class of LC25000."""
    names = {"colon_aca": "colonca", "colon_n": "colonn"}
    for place, label in enumerate(lc25000.CLASSES):
        for number in (1, 2):
            organ, name = label.split("_")[0], names.get(label, label.replace("_", ""))
            draw(f"{organ}_image_sets/{label}/{name}{number}.jpeg", 10 * place + number)
    return str(tmp_path / "raw")


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({}, dict.fromkeys(lc25000.CLASSES, 2)),
        ({"binary": True}, {"benign": 4, "malignant": 6}),
        ({"organ": "lung"}, {"lung_aca": 2, "lung_n": 2, "lung_scc": 2}),
        ({"organ": "colon", "binary": True}, {"benign": 2, "malignant": 2}),
    ],
)
def test_lc25000_in_its_classes_by_organ_or_binary(
    tiles: str, settings: dict[str, object], counts: dict[str, int]
) -> None:
    params = lc25000.Params.model_validate({"path": tiles, **settings})
    assert _known.count(lc25000.rows(params)) == {"undivided": counts}
    wanted = {label: number * 2500 for label, number in counts.items()}
    assert lc25000.expected(params) == {"all": wanted}


def test_an_empty_name_of_clusters_means_none(tiles: str) -> None:
    rows = list(lc25000.rows(lc25000.Params(path=tiles, clusters="")))
    assert {row.group for row in rows} == {None}


def test_clusters_of_lc25000_clean_are_groups(tiles: str, tmp_path: Path) -> None:
    folder = tmp_path / "annotations" / "lung_n" / "UNI" / "resize_only"
    folder.mkdir(parents=True)
    cells = "cluster_label,img_path\n7,some/lung_n/lungn1.jpeg\n7,some/lung_n/lungn2.jpeg\n"
    (folder / "final_clusters.csv").write_text(cells)
    params = lc25000.Params(path=tiles, clusters=str(tmp_path / "annotations"))
    groups = {row.id: row.group for row in lc25000.rows(params)}
    assert groups["lung_image_sets/lung_n/lungn2.jpeg"] == "lung_n-7"
    assert groups["lung_image_sets/lung_scc/lungscc1.jpeg"] is None
    with pytest.raises(DataError, match="names none of the tiles"):
        list(lc25000.rows(params.model_copy(update={"organ": "colon"})))


@pytest.fixture
def lesions(draw: Draw, tmp_path: Path) -> str:
    """Draw 60 images of 50 lesions in two folders; the first 10 lesions have two images."""
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    for number in range(60):
        draw(f"HAM10000_images_part_{1 + number % 2}/ISIC_{number:07d}.jpg", number)
        lesion, label = number % 50, ham10000.CLASSES[number % 50 % 2]
        lines.append(f"HAM_{lesion:07d},ISIC_{number:07d},{label},histo,,male,back")
    (tmp_path / "raw/HAM10000_metadata.csv").write_text("\n".join(lines))
    return str(tmp_path / "raw")


def test_the_datta_split_tests_on_lesions_with_one_image(lesions: str) -> None:
    rows = list(ham10000.rows(ham10000.Params(path=lesions)))
    tested = [row for row in rows if row.split == "test"]
    images = Counter(row.group for row in rows)
    assert len(rows) == 60
    assert Counter(row.label for row in tested) == {"akiec": 3, "bcc": 3}  # 15 % of 20 each
    assert all(images[row.group] == 1 for row in tested)
    assert {row.split for row in rows} == {"train", "test"}


def test_another_seed_of_the_datta_split_tests_on_other_lesions(lesions: str) -> None:
    def tested(seed: int) -> list[str]:
        params = ham10000.Params(path=lesions, split_seed=seed)
        return [row.id for row in ham10000.rows(params) if row.split == "test"]

    assert tested(0) == tested(0)
    assert tested(0) != tested(1)


def test_ham10000_can_be_divided_by_ratio_and_keeps_lesions_whole(
    prepared: Prepare, lesions: str
) -> None:
    source = {"name": "ham10000", "params": {"path": lesions, "split": "ratio"}}
    dataset = prepared(source, splits={"val": 0.2, "test": 0.2}, duplicates={"check": "none"})
    assert [len(dataset.split(name)) for name in dataset.splits] == [36, 12, 12]
    split_of = {place: name for name in dataset.splits for place in dataset.split(name)}
    for group in set(dataset.groups):
        members = [place for place, one in enumerate(dataset.groups) if one == group]
        assert len({split_of[place] for place in members}) == 1


def test_the_real_table_gives_hdkds_counts_for_any_seed(real_images: Path) -> None:
    table = ham10000._table(real_images / "ham10000_mini" / "HAM10000_metadata.csv")
    assert Counter(image.label for image in table) == ham10000.COUNTS["all"]
    for seed in (0, 1):
        tested = ham10000._tested(table, seed)
        found = Counter(image.label for image in table if image.id in tested)
        assert found == ham10000.COUNTS["test"]


def test_images_that_are_not_there_are_passed_over_and_told(
    prepared: Prepare, lesions: str
) -> None:
    (Path(lesions) / "HAM10000_images_part_1/ISIC_0000000.jpg").unlink()
    dataset = prepared({"name": "ham10000", "params": {"path": lesions}}, splits={"val": 0.2})
    assert len(dataset) == 59
    assert dataset.info.deviations[0] == {
        "split": "all",
        "class": "akiec",
        "expected": 327,
        "found": 29,
    }
