from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

Kdray = Callable[..., Any]


@pytest.fixture
def job(tmp_path: Path) -> str:
    """Return a job file on a folder of 12 images, one of the test images being one of train."""
    for label in range(2):
        for number in range(6):
            split = "train" if number < 4 else "test"
            seed = 10 * label + (0 if (label, number) == (1, 5) else number)
            path = tmp_path / "raw" / split / f"class{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
            Image.fromarray(noise).save(path)
    (tmp_path / "job.yaml").write_text(
        "apiVersion: kdray/v1\n"
        "kind: Experiment\n"
        "name: tiny\n"
        "data:\n"
        "  source: {name: folder, params: {path: raw}}\n"
        "  image_size: 16\n"
        "  channels: 1\n"
        "  splits: {val: 0.25}\n"
        "teachers: [timm/resnet18]\n"
        "students: [timm/mobilenetv3_small_050]\n"
        "storage: {uri: lab}\n"
    )
    return "job.yaml"


def test_list_shows_each_source_with_its_settings(kdray: Kdray) -> None:
    shown = kdray("data", "list").out
    assert all(name in shown for name in ("folder", "phantom", "table", "num_images"))


def test_list_shows_one_source_in_full(kdray: Kdray) -> None:
    shown = kdray("data", "list", "folder").out
    assert "Recognised as splits" in shown
    assert "required" in shown


def test_list_as_json_gives_titles_and_defaults(kdray: Kdray) -> None:
    sources = {item["name"]: item for item in json.loads(kdray("data", "list", "--json").out)}
    defaults = {item["name"]: item["default"] for item in sources["phantom"]["settings"]}
    assert defaults["size"] == 64
    assert sources["table"]["title"].startswith("CSV or Parquet table")


def test_an_unknown_source_names_the_nearest(kdray: Kdray) -> None:
    answer = kdray("data", "list", "foldr")
    assert (answer.code, "Did you mean 'folder'?" in answer.err) == (2, True)


def test_check_reports_counts_and_leaks(kdray: Kdray, job: str) -> None:
    answer = kdray("data", "check", job, "--json")
    found = json.loads(answer.out)
    assert answer.code == 0
    assert found["counts"]["train"] == {"class0": 3, "class1": 3}
    assert found["duplicates"]["marked"] == {"test": 1}
    assert found["problems"] == []


def test_check_prints_tables(kdray: Kdray, job: str) -> None:
    shown = kdray("data", "check", job).out
    assert "class0" in shown
    assert "Leaks between splits" in shown


def test_check_fails_on_unreadable_images_and_names_them(
    kdray: Kdray, job: str, tmp_path: Path
) -> None:
    (tmp_path / "raw/train/class0/0.png").write_bytes(b"broken")
    answer = kdray("data", "check", job)
    assert answer.code == 1
    assert "train/class0/0.png" in answer.out
    assert "1 images cannot be read, 0 may" in answer.err
    assert kdray("data", "check", job, "--set", "data.bad_images.skip_up_to=1").code == 0


def test_check_fails_where_leaks_would_fail_the_job(kdray: Kdray, job: str) -> None:
    assert kdray("data", "check", job, "--set", "data.duplicates.on_leak=fail").code == 1


def test_check_leaves_nothing_in_the_storage(kdray: Kdray, job: str, tmp_path: Path) -> None:
    kdray("data", "check", job)
    assert not (tmp_path / "lab").exists()


def test_a_missing_folder_is_told(kdray: Kdray, job: str) -> None:
    answer = kdray("data", "check", job, "--set", "data.source.params.path=nowhere")
    assert answer.code == 1
    assert "nowhere: there is no such folder" in answer.err


@pytest.mark.parametrize("option", [(), ("--augmented",)])
def test_show_writes_a_sheet_of_every_class(
    kdray: Kdray, job: str, tmp_path: Path, option: tuple[str, ...]
) -> None:
    answer = kdray("data", "show", job, "--out", "sheet.png", "--images", "3", *option)
    assert answer.code == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * 100 + 4, 2 * 118 + 4)


def test_show_needs_a_split_that_is_there(kdray: Kdray, job: str) -> None:
    answer = kdray("data", "show", job, "--split", "shifted")
    assert answer.code == 1
    assert "no such split" in answer.err


def test_prepare_fills_the_storage_once(kdray: Kdray, job: str, tmp_path: Path) -> None:
    first = json.loads(kdray("data", "prepare", job, "--json").out)
    assert (tmp_path / "lab" / first["path"] / "images.arrow").is_file()
    before = (tmp_path / "lab" / first["path"] / "images.arrow").stat().st_mtime_ns
    again = json.loads(kdray("data", "prepare", job, "--json").out)
    assert again == first
    assert (tmp_path / "lab" / first["path"] / "images.arrow").stat().st_mtime_ns == before


@pytest.fixture
def suite(job: str, tmp_path: Path) -> str:
    """Return a suite of three experiments: two on the folder, one on drawn images."""
    (tmp_path / "suite.yaml").write_text(
        "apiVersion: kdray/v1\n"
        "kind: Suite\n"
        "name: pair\n"
        "base:\n"
        "  data: {source: {name: folder, params: {path: raw}}, image_size: 16, channels: 1,"
        " splits: {val: 0.25}}\n"
        "  teachers: [timm/resnet18]\n"
        "  students: [timm/mobilenetv3_small_050]\n"
        "  storage: {uri: lab}\n"
        "experiments:\n"
        "  - name: plain\n"
        "  - name: drawn\n"
        "    set: {data.source: {name: phantom, params: {num_images: 40, size: 16}}}\n"
        "  - name: short\n"
        "    set: {train.student.epochs: 1}\n"
    )
    return "suite.yaml"


def test_check_reads_each_data_set_of_a_suite_once(kdray: Kdray, suite: str) -> None:
    answer = kdray("data", "check", suite, "--json")
    folder, drawn = json.loads(answer.out)
    assert answer.code == 0
    assert (folder["experiments"], drawn["experiments"]) == (["plain", "short"], ["drawn"])
    assert folder["counts"]["train"] == {"class0": 3, "class1": 3}
    shown = kdray("data", "check", suite).out
    assert "folder: plain, short" in shown
    assert "phantom: drawn" in shown


def test_check_of_one_experiment_answers_as_for_a_job(kdray: Kdray, suite: str, job: str) -> None:
    one = kdray("data", "check", suite, "--experiment", "short", "--json").out
    assert json.loads(one) == json.loads(kdray("data", "check", job, "--json").out)


def test_check_of_a_suite_fails_where_one_of_its_data_sets_does(
    kdray: Kdray, suite: str, tmp_path: Path
) -> None:
    (tmp_path / "raw/train/class0/0.png").write_bytes(b"broken")
    assert kdray("data", "check", suite).code == 1
    assert kdray("data", "check", suite, "--experiment", "drawn").code == 0


def test_an_unknown_experiment_names_the_nearest(kdray: Kdray, suite: str, job: str) -> None:
    answer = kdray("data", "check", suite, "--experiment", "shrot")
    assert (answer.code, "Did you mean 'short'?" in answer.err) == (2, True)
    answer = kdray("data", "check", job, "--experiment", "short")
    assert (answer.code, "Leave out --experiment" in answer.err) == (2, True)


def test_verify_counts_each_data_set_of_a_suite(kdray: Kdray, suite: str) -> None:
    folder, drawn = json.loads(kdray("data", "verify", suite, "--json").out)
    assert folder["counts"]["train"] == {"class0": 4, "class1": 4}
    assert sum(sum(split.values()) for split in drawn["counts"].values()) == 40


def test_show_writes_a_sheet_for_each_data_set_of_a_suite(
    kdray: Kdray, suite: str, tmp_path: Path
) -> None:
    assert kdray("data", "show", suite, "--out", "sheet.png").code == 0
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        "sheet-drawn.png",
        "sheet-plain.png",
    ]
    assert kdray("data", "show", suite, "--experiment", "drawn", "--out", "one.png").code == 0
    assert (tmp_path / "one.png").is_file()


def test_prepare_fills_the_storage_for_each_data_set_of_a_suite(
    kdray: Kdray, suite: str, tmp_path: Path
) -> None:
    found = json.loads(kdray("data", "prepare", suite, "--json").out)
    assert [item["experiments"] for item in found] == [["plain", "short"], ["drawn"]]
    assert all((tmp_path / "lab" / item["path"] / "images.arrow").is_file() for item in found)


def test_list_tells_where_to_get_a_public_data_set(kdray: Kdray) -> None:
    item = json.loads(kdray("data", "list", "ham10000", "--json").out)[0]
    assert (item["counts"]["all"]["df"], item["fetch"]) == (115, "kagglehub")
    shown = kdray("data", "list", "ham10000").out
    assert "kaggle" in shown.lower()
    assert "10015" in shown


@pytest.fixture
def tumours(tmp_path: Path) -> str:
    """Return a job on a look-alike of the brain tumour set with one image a class and split."""
    for split in ("Training", "Testing"):
        for number, label in enumerate(("glioma", "meningioma", "notumor", "pituitary")):
            path = tmp_path / "tumours" / split / label / "1.png"
            path.parent.mkdir(parents=True)
            Image.new("L", (16, 16), 10 * number).save(path)
    return str(tmp_path / "tumours")


def test_verify_compares_the_counts_of_a_public_data_set(kdray: Kdray, tumours: str) -> None:
    answer = kdray("data", "verify", "brain_tumor", "--path", tumours, "--json")
    found = json.loads(answer.out)
    assert answer.code == 1
    assert found["deviations"][0] == {
        "split": "train",
        "class": "glioma",
        "expected": 1321,
        "found": 1,
    }
    assert "1321" in kdray("data", "verify", "brain_tumor", "--path", tumours).out


def test_verify_counts_the_images_of_a_job(kdray: Kdray, job: str) -> None:
    answer = kdray("data", "verify", job)
    assert answer.code == 0
    assert "No counts are known" in answer.out


def test_verify_of_a_missing_data_set_says_where_to_get_it(kdray: Kdray) -> None:
    answer = kdray("data", "verify", "brain_tumor", "--path", "nowhere")
    assert (answer.code, "kaggle" in answer.err.lower()) == (1, True)


def test_fetch_asks_kagglehub_and_says_what_is_missing(
    kdray: Kdray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    answer = kdray("data", "fetch", "brain_tumor", "--to", "there")
    assert (answer.code, "pip install kdray[download]" in answer.err) == (1, True)

    def refuse(handle: str, output_dir: str) -> str:
        raise ConnectionError(f"no way to {handle}")

    hub, errors = ModuleType("kagglehub"), ModuleType("kagglehub.exceptions")
    names = ("Backend", "Credential", "DataCorruption", "NotFound", "Unauthenticated")
    for name in names:
        setattr(errors, f"{name}Error", type(f"{name}Error", (Exception,), {}))
    vars(hub).update(exceptions=errors, dataset_download=refuse)
    monkeypatch.setitem(sys.modules, "kagglehub", hub)
    monkeypatch.setitem(sys.modules, "kagglehub.exceptions", errors)
    answer = kdray("data", "fetch", "brain_tumor", "--to", "there")
    assert answer.code == 1
    assert "Is the network there?" in answer.err
    vars(hub).update(dataset_download=lambda handle, output_dir: f"{output_dir}/{handle}")
    assert "there/masoudnickparvar" in kdray("data", "fetch", "brain_tumor", "--to", "there").out


def test_fetch_of_what_no_library_fetches_says_how_to_get_it(kdray: Kdray) -> None:
    answer = kdray("data", "fetch", "lc25000", "--to", "there")
    assert (answer.code, "torrent" in answer.err) == (2, True)
