"""``kdray explain``, as a user calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kdray.cli._explain.work import Work
from kdray.cli.main import build
from kdray.models import build_model
from kdray.registry import Registry, read_package, write_package
from kdray.store import Store

WIDTHS = {"widths": [4, 8, 8, 12, 16]}
CLASSES = ("glioma", "no tumor", "pituitary")


@dataclass(frozen=True)
class Answer:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Answer]


@dataclass(frozen=True)
class Info:
    classes: tuple[str, ...] = CLASSES
    image_size: int = 32
    channels: int = 1
    mean: tuple[float, ...] = (0.4,)
    std: tuple[float, ...] = (0.2,)


def packed(folder: Path, seed: int, info: Info = Info(), **facts: Any) -> Path:
    """Write a package with random weights, or with none at all for seed 0."""
    size: dict[str, Any] = {"channels": 1, "classes": len(info.classes)}
    net = build_model("cnn5", WIDTHS, seed=seed, image_size=info.image_size, **size)
    if seed == 0:
        for weight in net.module.parameters():
            weight.data.zero_()
    who = {"id": "cnn5", "role": "student", "lineage": {}, **facts}
    folder.mkdir(parents=True, exist_ok=True)
    write_package(folder, net, model={"name": "cnn5", "params": WIDTHS}, info=info, **who)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Return a function that calls ``kdray explain`` in a folder with a registry of `brain`.

    Version 1 learnt from a teacher that the registry has too, version 2 alone.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    registry = Registry("registry")
    big = packed(tmp_path / "packages" / "big", 7, id="resnet18", role="teacher")
    version = registry.add("teacher.resnet18", big, key="big")
    sha256 = read_package(big).weights.sha256
    teacher = {"id": "resnet18", "name": "teacher.resnet18", "version": version, "sha256": sha256}
    for seed, taught in ((1, teacher), (2, None)):
        folder = packed(tmp_path / "packages" / str(seed), seed, lineage={"teacher": taught})
        registry.add("brain", folder, key=str(seed))
    registry.promote("brain", 1)

    def call(*words: object) -> Answer:
        done = CliRunner().invoke(build(), ["explain", *map(str, words)])
        error = "" if done.exception is None else str(done.exception)
        code = getattr(done.exception, "exit_code", done.exit_code)
        return Answer(code, done.stdout, f"{done.stderr}{error}")

    return call


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Return a folder of images: two of one name in different folders, and another."""
    for place, name in enumerate(("a/scan.png", "b/scan.png", "other.jpg")):
        drawn(tmp_path / "scans" / name, place)
    return tmp_path / "scans"


def drawn(path: Path, seed: int = 0, size: tuple[int, int] = (30, 40)) -> Path:
    """Write an image of height x width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def dicom(pixels: np.ndarray) -> bytes:
    """Return a DICOM file of Hounsfield units."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    image = pydicom.dataset.Dataset()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid(
        entropy_srcs=["test"]
    )
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 1
    image.PixelData = pixels.astype(np.int16).tobytes()
    stream = BytesIO()
    pydicom.dcmwrite(stream, image, enforce_file_format=True)
    return stream.getvalue()


def maps(answer: Answer) -> list[dict[str, Any]]:
    """Return all maps of all images."""
    return [found for image in answer.facts["images"] for found in image["maps"]]


def test_the_predicted_class_is_explained_and_named(run: Run, tmp_path: Path) -> None:
    answer = run("--model", "brain", drawn(tmp_path / "scan.png"), "--json")
    assert answer.code == 0
    [image] = answer.facts["images"]
    [found] = image["maps"]
    assert answer.facts["model"]["called"] == "brain@1"
    assert (found["method"], found["class"]) == ("gradcam", image["prediction"])
    assert sum(image["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_a_table_alone_is_printed_without_a_folder(run: Run, tmp_path: Path) -> None:
    answer = run("--model", "brain", drawn(tmp_path / "scan.png"))
    assert "from the left and the top" in answer.out
    assert "Deletion AUC: lower is better" in answer.out
    assert "not where the disease is" in answer.out
    assert not list(tmp_path.glob("*.json"))


def test_the_raw_map_has_the_size_of_the_input_and_the_overlay_that_of_the_image(
    run: Run, tmp_path: Path
) -> None:
    scan = drawn(tmp_path / "scan.png")
    [found] = maps(run("--model", "brain", scan, "--out", "maps", "--json"))
    values = np.load(tmp_path / "maps" / found["map"])
    assert (values.dtype, values.shape) == (np.float32, (32, 32))
    assert (values.min(), values.max()) == (0, 1)
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert found["peak"] == {"x": (column + 0.5) / 32, "y": (row + 0.5) / 32}
    with Image.open(tmp_path / "maps" / found["overlay"]) as picture:
        assert (picture.mode, picture.size) == ("RGB", (40, 30))


def test_each_image_of_a_folder_has_a_folder_with_its_facts(
    run: Run, scans: Path, tmp_path: Path
) -> None:
    answer = run("--model", "brain", scans, "--out", "maps", "--json")
    assert [image["name"] for image in answer.facts["images"]] == ["a-scan", "b-scan", "other"]
    assert json.loads((tmp_path / "maps" / "explanations.json").read_text()) == answer.facts
    for image in answer.facts["images"]:
        kept = json.loads((tmp_path / "maps" / image["name"] / "explanation.json").read_text())
        assert kept == image


def test_images_of_one_name_do_not_overwrite_each_other(
    run: Run, scans: Path, tmp_path: Path
) -> None:
    answer = run("--model", "brain", scans / "a/scan.png", scans / "b/scan.png", "--out", "maps")
    assert answer.code == 0
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == [
        "explanations.json",
        "scan",
        "scan-2",
    ]


def test_an_image_named_twice_is_explained_once(run: Run, scans: Path) -> None:
    answer = run("--model", "brain", scans, scans / "other.jpg", "--json")
    assert len(answer.facts["images"]) == 3


def test_the_results_in_a_folder_are_not_taken_for_its_images(run: Run, scans: Path) -> None:
    for _ in range(2):
        answer = run("--model", "brain", scans, "--out", scans / "maps", "--json")
    assert len(answer.facts["images"]) == 3


def test_every_method_explains_every_class(run: Run, tmp_path: Path) -> None:
    scan = drawn(tmp_path / "scan.png")
    words = ("--method", "gradcam", "--method", "featuremaps", "--class", "all")
    answer = run("--model", "brain", scan, *words, "--out", "maps", "--json")
    asked = [(found["method"], found["class"]) for found in maps(answer)]
    assert asked == [(name, label) for name in ("gradcam", "featuremaps") for label in CLASSES]
    assert (tmp_path / "maps/scan/gradcam-no_tumor.png").exists()
    assert len(list((tmp_path / "maps/scan").glob("*.npy"))) == 6


def test_the_predicted_class_is_not_explained_twice_where_it_is_also_named(
    run: Run, tmp_path: Path
) -> None:
    scan = drawn(tmp_path / "scan.png")
    found = maps(run("--model", "brain", scan, "--class", "predicted", "--class", "all", "--json"))
    assert sorted(item["class"] for item in found) == sorted(CLASSES)


def test_a_class_of_its_own_differs_from_the_others(run: Run, tmp_path: Path) -> None:
    scan = drawn(tmp_path / "scan.png")
    run("--model", "brain", scan, "--class", "all", "--out", "maps")
    values = [np.load(path) for path in sorted((tmp_path / "maps/scan").glob("*.npy"))]
    assert not np.allclose(values[0], values[1])


def test_a_map_has_its_scores_with_their_definitions(run: Run, tmp_path: Path) -> None:
    answer = run("--model", "brain", drawn(tmp_path / "scan.png"), "--json")
    [found] = maps(answer)
    assert 0 <= found["scores"]["deletion_auc"] <= 1
    assert found["scores"]["retention"] == pytest.approx(1 - found["scores"]["average_drop"])
    assert answer.facts["definitions"]["deletion_auc"]["better"] == "low"


def test_scores_can_be_left_out(run: Run, tmp_path: Path) -> None:
    [found] = maps(run("--model", "brain", drawn(tmp_path / "s.png"), "--no-scores", "--json"))
    assert found["scores"] is None


def test_cost_and_settings_of_a_map_are_kept(run: Run, tmp_path: Path) -> None:
    words = ("--param", "tap=stage2", "--json")
    [found] = maps(run("--model", "brain", drawn(tmp_path / "scan.png"), *words))
    assert (found["params"], found["forwards"]) == ({"tap": "stage2"}, 1)
    assert found["ms"] > 0
    assert found["estimate"] is None


def test_a_setting_can_be_for_one_method(run: Run, tmp_path: Path) -> None:
    words = ("--method", "gradcam", "--method", "featuremaps", "--param", "gradcam.tap=stage1")
    found = maps(run("--model", "brain", drawn(tmp_path / "scan.png"), *words, "--json"))
    assert [item["params"]["tap"] for item in found] == ["stage1", "cam"]


def test_the_teacher_is_found_and_shown_beside_the_student(
    run: Run, scans: Path, tmp_path: Path
) -> None:
    answer = run("--model", "brain", scans, "--against", "teacher", "--out", "maps", "--json")
    assert answer.facts["against"]["called"] == "teacher.resnet18@1"
    for image in answer.facts["images"]:
        [found] = image["maps"]
        assert image["teacher"]["prediction"] in CLASSES
        values = [np.load(tmp_path / "maps" / found[key]) for key in ("map", "teacher_map")]
        expected = np.corrcoef(values[0].ravel(), values[1].ravel())[0, 1]
        assert found["agreement"]["pearson"] == pytest.approx(expected, abs=1e-5)
        assert found["agreement"]["chance_pearson"] is not None
        with Image.open(tmp_path / "maps" / found["side_by_side"]) as picture:
            assert picture.width > 3 * 320


def test_an_image_alone_has_no_chance_level_and_that_is_said(run: Run, tmp_path: Path) -> None:
    scan = drawn(tmp_path / "scan.png")
    [found] = maps(run("--model", "brain", scan, "--against", "teacher", "--json"))
    assert found["agreement"]["chance_ssim"] is None
    assert "explain several" in found["agreement"]["reason"]


def test_a_model_agrees_with_itself(run: Run, scans: Path) -> None:
    for found in maps(run("--model", "brain", scans, "--against", "brain@1", "--json")):
        alike = [found["agreement"][name] for name in ("pearson", "ssim", "iou20")]
        assert alike == pytest.approx([1, 1, 1], abs=1e-5)


def test_models_of_other_input_sizes_are_compared_on_the_smaller_grid(
    run: Run, scans: Path, tmp_path: Path
) -> None:
    small = packed(tmp_path / "small", 4, Info(image_size=64))
    for found in maps(run("--model", "brain", scans, "--against", small, "--json")):
        assert -1 <= found["agreement"]["pearson"] <= 1


def test_a_teacher_in_the_storage_of_a_job_is_found(run: Run, scans: Path) -> None:
    store = Store("runs")
    with store.publish("steps/pretrain/resnet18-k1", {}) as folder:
        packed(folder, 5, id="resnet18", role="teacher")
    with store.publish("steps/distil/small-k2", {}) as folder:
        packed(folder, 6, lineage={"teacher": "resnet18", "teacher_key": "k1"})
    answer = run("--model", "runs/steps/distil/small-k2", scans, "--against", "teacher", "--json")
    assert answer.facts["against"]["called"] == "resnet18"


def test_a_student_without_a_teacher_is_refused_with_what_to_do(run: Run, scans: Path) -> None:
    answer = run("--model", "brain@2", scans, "--against", "teacher")
    assert answer.code == 1
    assert "learnt without a teacher" in answer.err
    assert "--against NAME" in answer.err


def test_a_model_of_other_classes_is_no_comparison(run: Run, scans: Path, tmp_path: Path) -> None:
    other = packed(tmp_path / "other", 1, Info(classes=("cat", "dog")))
    answer = run("--model", "brain", scans, "--against", other)
    assert answer.code == 2
    assert "knows other classes" in answer.err


def test_a_map_that_shows_nothing_is_said_and_never_drawn(
    run: Run, scans: Path, tmp_path: Path
) -> None:
    blank = packed(tmp_path / "blank", 0)
    answer = run("--model", blank, scans / "other.jpg", "--out", "maps", "--json")
    assert answer.code == 0
    [found] = maps(answer)
    assert found["degenerate"]
    assert "blank" in found["reason"]
    assert (found["peak"], found["overlay"], found["map"]) == (None, None, None)
    assert found["scores"]["deletion_auc"] is None
    assert [path.name for path in (tmp_path / "maps/other").iterdir()] == ["explanation.json"]
    assert "No map by gradcam, 1 of them: " in run("--model", blank, scans / "other.jpg").out


def test_beside_a_map_that_shows_nothing_the_other_is_still_shown(
    run: Run, scans: Path, tmp_path: Path
) -> None:
    blank = packed(tmp_path / "blank", 0)
    [found] = maps(
        run("--model", "brain", scans / "other.jpg", "--against", blank, "--out", "m", "--json")
    )
    assert found["teacher"]["degenerate"]
    assert found["teacher_map"] is None
    assert "pearson" not in found["agreement"]
    assert (tmp_path / "m" / found["side_by_side"]).exists()


def test_an_unreadable_image_stops_no_other(run: Run, scans: Path) -> None:
    (scans / "broken.png").write_bytes(b"no image")
    answer = run("--model", "brain", scans, scans / "gone.png", "--json")
    assert answer.code == 1
    assert len(answer.facts["images"]) == 3
    whose = [Path(error["image"]).name for error in answer.facts["errors"]]
    assert whose == ["gone.png", "broken.png"]
    assert "broken.png: cannot be decoded" in answer.err
    assert "gone.png: there is no such file" in answer.err


def test_no_image_at_all_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    answer = run("--model", "brain", tmp_path / "empty")
    assert answer.code == 1
    assert "holds no image" in answer.err


def test_dicom_of_any_name_is_found_in_a_folder(run: Run, tmp_path: Path) -> None:
    units = np.arange(-1024, 1024, 8).reshape(16, 16)
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "IM0001").write_bytes(dicom(units))
    (tmp_path / "study" / "notes.txt").write_text("no image")
    answer = run("--model", "brain", tmp_path / "study", "--json")
    [image] = answer.facts["images"]
    assert (image["name"], image["width"], image["height"]) == ("IM0001", 16, 16)


def test_dicom_is_shown_in_the_window_of_the_training_or_the_one_given(
    run: Run, tmp_path: Path
) -> None:
    units = np.arange(-1024, 1024, 8).reshape(16, 16)
    (tmp_path / "ct.dcm").write_bytes(dicom(units))
    trained = packed(tmp_path / "ct", 3, lineage={"window": {"center": 40, "width": 400}})
    plain = packed(tmp_path / "plain", 3)

    def shares(*words: object) -> dict[str, float]:
        answer = run("--model", *words, tmp_path / "ct.dcm", "--no-scores", "--json")
        return dict(answer.facts["images"][0]["probabilities"])

    assert shares(trained) == shares(plain, "--window", "40,400")
    assert shares(trained) != shares(plain)
    assert shares(trained, "--window", "500,1000") == shares(plain, "--window", "500,1000")


def test_a_typo_in_the_method_gives_the_nearest(run: Run, scans: Path) -> None:
    answer = run("--model", "brain", scans, "--method", "gradcamm")
    assert answer.code == 2
    assert "Did you mean 'gradcam'" in answer.err


def test_a_typo_in_the_class_gives_the_nearest(run: Run, scans: Path) -> None:
    answer = run("--model", "brain", scans, "--class", "gliom")
    assert answer.code == 2
    assert "Did you mean 'glioma'" in answer.err


def test_a_setting_that_no_method_has_gives_the_nearest(run: Run, scans: Path) -> None:
    answer = run("--model", "brain", scans, "--param", "tapp=stage1")
    assert answer.code == 2
    assert "Did you mean 'tap'" in answer.err
    assert "no method of this command" in run("--model", "brain", scans, "--param", "x.tap=1").err


def test_an_unknown_model_names_those_that_are_there(run: Run, scans: Path) -> None:
    answer = run("--model", "liver", scans)
    assert answer.code == 1
    assert "It has: brain, teacher.resnet18" in answer.err


def test_a_layer_that_the_model_lacks_is_an_error_of_that_method_alone(
    run: Run, scans: Path
) -> None:
    words = ("--method", "gradcam", "--method", "featuremaps", "--param", "gradcam.tap=stage9")
    answer = run("--model", "brain", scans, *words, "--json")
    assert answer.code == 1
    assert {found["method"] for found in maps(answer)} == {"featuremaps"}
    [error] = answer.facts["errors"]
    assert error["method"] == "gradcam"
    assert "stage9" in error["error"]


def test_a_picture_is_no_folder(run: Run, scans: Path) -> None:
    answer = run("--model", "brain", scans, "--out", "map.png")
    assert answer.code == 2
    assert "Name a folder" in answer.err


def test_a_folder_that_cannot_be_made_is_told_before_any_image_is_explained(
    run: Run, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Work, "explain", lambda *_: pytest.fail("it began to explain"))
    answer = run("--model", "brain", scans, "--out", scans / "other.jpg" / "maps")
    assert answer.code == 2
    assert "cannot be made: Not a directory" in answer.err


def test_stopping_tells_what_is_done_and_leaves_whole_files(
    run: Run, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, done = Work.explain, []

    def explain_one(work: Work, sources: Any, tell: Any) -> None:
        first(work, sources[:1], tell)
        done.extend(work.records)
        raise KeyboardInterrupt

    monkeypatch.setattr(Work, "explain", explain_one)
    answer = run("--model", "brain", scans, "--out", "maps")
    assert "Stopped. Images that are done: 1, in maps." in answer.err
    written = json.loads(Path("maps", done[0]["name"], "explanation.json").read_text())
    assert written["name"] == done[0]["name"]


def test_a_window_is_two_numbers(run: Run, scans: Path) -> None:
    for text in ("40", "a,b", "40,0"):
        assert "is no window" in run("--model", "brain", scans, "--window", text).err


def test_a_device_that_is_not_there_is_an_error(run: Run, scans: Path) -> None:
    answer = run("--model", "brain", scans, "--device", "abacus")
    assert (answer.code, "no such device" in answer.err) == (1, True)


def test_progress_goes_to_standard_error(
    run: Run, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    answer = run("--model", "brain", scans, "--json")
    assert "explaining images" in answer.err
    assert "3/3" in answer.err
    assert len(answer.facts["images"]) == 3
