"""The page with the real service in this process, used as a user would."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from playwright.sync_api import expect

from kdray.export import write_serving
from kdray.models import build_model
from kdray.registry import Registry, write_package
from kdray.registry.teacher import write_teacher
from kdray.spec.service import Service

pytestmark = pytest.mark.browser
Open = Callable[..., Any]
TEACHER = {"widths": [8, 8, 12, 16, 16]}
STUDENT = {"widths": [4, 8, 8, 12, 16]}
SCORES = {
    "sanity": [
        {"method": "gradcam", "verdict": "passed"},
        {"method": "featuremaps", "verdict": "failed"},
    ],
    "agreement": [
        {
            "method": "gradcam",
            "label": "tiny",
            "teacher": "big",
            "all": {"pearson": {"mean": 0.6}, "chance_pearson": {"mean": 0.125}},
        }
    ],
}


class Info:
    """What the models were trained for."""

    classes = ("glioma", "meningioma", "no tumor", "pituitary")
    image_size = 32
    channels = 1
    mean = (0.2,)
    std = (0.2,)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URI of a registry with `brain` 1 and 2 and their teacher; weights are random."""
    root = tmp_path_factory.mktemp("page")
    registry = Registry(str(root / "registry"))
    teacher = package(root / "teacher", "teacher", TEACHER, 0)
    number = registry.add("teacher.big", teacher, key="teacher")
    weights = json.loads((teacher / "model.json").read_text())["weights"]["sha256"]
    taught = {"id": "big", "name": "teacher.big", "version": number, "sha256": weights}
    images = np.random.default_rng(0).integers(0, 256, (48, 32, 32, 1), np.uint8)
    samples = [(images[place], Info.classes[place]) for place in (0, 1)]
    for seed in (1, 2):
        folder = package(root / f"student-{seed}", "student", STUDENT, seed)
        write_teacher(folder, taught)
        labels = np.arange(24) % 4
        write_serving(
            folder, train=images[:24], validation=images[24:], labels=labels, samples=samples
        )
        (folder / "metrics.json").write_text(json.dumps({"explanations": SCORES}))
        (folder / "card.md").write_text("# Brain\n\n> Not a medical device\n\n## Data\n\nMade up.")
        registry.promote("brain", registry.add("brain", folder, key=str(seed)))
    return registry.uri


def package(folder: Path, role: Any, params: dict[str, Any], seed: int) -> Path:
    """Write a package of random weights."""
    folder.mkdir()
    net = build_model("cnn5", params, channels=1, classes=4, image_size=32, seed=seed)
    part = {"name": "cnn5", "params": params}
    write_package(folder, net, model=part, id="cnn5", role=role, info=Info(), lineage={"job": "t"})
    return folder


@pytest.fixture(scope="module")
def address(models: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the registry in a thread of this process; return the address."""
    service = Service.model_validate(
        {
            "apiVersion": "kdray/v1",
            "kind": "Service",
            "name": "test",
            "registry": models,
            "storage": str(tmp_path_factory.mktemp("storage")),
            "models": ["brain", "brain@1"],
            "auth": "none",
        }
    )
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        servers: list[uvicorn.Server] = []
        thread = threading.Thread(
            target=lambda: asyncio.run(serve(service, listening, servers)), daemon=True
        )
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        servers[0].should_exit = True
        thread.join(timeout=30)


async def serve(service: Service, listening: socket.socket, servers: list[uvicorn.Server]) -> None:
    """Serve until told to end; what is asked before the models are loaded waits."""
    from kdray_serve.whole import Whole

    whole = Whole(service)
    await whole.start()
    servers.append(uvicorn.Server(uvicorn.Config(whole.app, log_config=None, lifespan="off")))
    await servers[0].serve(sockets=[listening])
    await whole.close()


@pytest.fixture
def page(tab: Open, address: str) -> Any:
    """Open the page and wait until all is known of the model."""
    page = tab(address)
    page.goto(address, timeout=60_000)  # the first one waits for the models
    page.locator("#about").wait_for(timeout=60_000)
    return page


def scan(kind: str = "PNG", size: tuple[int, int] = (96, 72), spot: float = 0.6) -> bytes:
    """Return an image file of a disc with a bright spot."""
    width, height = size
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    disc = 90.0 * ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.16)
    lesion = 130.0 * np.exp(-((x - spot) ** 2 + (y - 0.4) ** 2) / 0.006)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(disc + lesion, 0, 255).astype(np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def dicom() -> bytes:
    """Return a DICOM file, 16 bits, with a window."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    facts = Dataset()
    facts.file_meta = FileMetaDataset()
    facts.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    facts.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    facts.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    facts.SOPClassUID, facts.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    pixels = np.asarray(Image.open(io.BytesIO(scan()))).astype(np.uint16) * 16
    facts.Rows, facts.Columns = pixels.shape
    facts.SamplesPerPixel, facts.PhotometricInterpretation = 1, "MONOCHROME2"
    facts.BitsAllocated = facts.BitsStored = 16
    facts.HighBit, facts.PixelRepresentation = 15, 0
    facts.WindowCenter, facts.WindowWidth = 1500, 3000
    facts.PixelData = pixels.tobytes()
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, facts, enforce_file_format=True)
    return stream.getvalue()


def choose(page: Any, **files: bytes) -> None:
    """Choose files; names have `_` for the dot."""
    given = [
        {"name": name.replace("_", "."), "mimeType": "application/octet-stream", "buffer": content}
        for name, content in files.items()
    ]
    page.set_input_files("#file", given)


def heat(page: Any, text: str) -> Any:
    """Wait for a heat map whose alternative text has a text."""
    found = page.locator(f".heat[alt*='{text}']")
    found.first.wait_for()
    return found


def predicted(page: Any) -> str:
    """Wait for a prediction and return it."""
    page.locator(".heat").first.wait_for()
    return str(page.locator("#prediction").inner_text())


def test_a_chosen_image_gets_bars_version_time_and_heat_map(page: Any) -> None:
    choose(page, scan_png=scan())
    winner = predicted(page)
    heat(page, f"Grad-CAM for the class {winner}, of brain, version 2")
    shares = page.locator(".bars .percent").all_inner_texts()
    assert sum(float(share.split()[0]) for share in shares) == pytest.approx(100, abs=0.3)
    pressed = page.locator(".bars button[aria-pressed='true']")
    assert pressed.evaluate_all("all => all.map((one) => one.value)") == [winner]
    expect(page.locator("#origin-model")).to_have_text("brain, version 2 (champion)")
    expect(page.locator("#origin-time")).to_have_text(re.compile(r"[\d.]+ ms; heat maps in"))
    expect(page.locator("#origin-id")).to_have_text(re.compile(r"[0-9a-f]{32}"))


def test_the_heat_map_lies_exactly_over_the_image(page: Any) -> None:
    choose(page, scan_png=scan())
    predicted(page)
    boxes = [page.locator(name).bounding_box() for name in (".scan", ".heat")]
    for side in ("x", "y", "width", "height"):
        assert boxes[0][side] == pytest.approx(boxes[1][side], abs=1)
    assert boxes[0]["width"] / boxes[0]["height"] == pytest.approx(96 / 72, rel=0.01)


def test_images_can_be_dropped_and_pasted(page: Any) -> None:
    transfer = page.evaluate_handle(
        """([data, name]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, {type: "image/png"}));
            return transfer;
        }""",
        [base64.b64encode(scan()).decode(), "dropped.png"],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    predicted(page)
    expect(page.locator("#file-name")).to_have_text("dropped.png")
    page.evaluate(
        """(transfer) => document.dispatchEvent(
            new ClipboardEvent("paste", {clipboardData: transfer}))""",
        transfer,
    )
    expect(page.locator("#strip .thumb img")).to_have_count(2)


def test_several_images_wait_in_a_strip_with_their_answers(page: Any) -> None:
    choose(page, one_png=scan(), two_png=scan(spot=0.3), three_jpg=scan("JPEG"))
    winner = predicted(page)
    labels = page.locator("#strip .thumb:has(img) .thumb-label")
    expect(labels).to_have_text([winner, re.compile("."), winner])
    page.get_by_role("button", name="Image two.png").click()
    expect(page.locator("#file-name")).to_have_text("two.png")
    expect(page.locator(".scan")).to_have_attribute("alt", "Chosen image two.png")
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("#strip .thumb:has(img)")).to_have_count(2)
    expect(page.locator("#file-name")).to_have_text("three.jpg")
    for _ in range(2):
        page.get_by_role("button", name="Remove").click()
    expect(page.locator("#drop")).to_be_visible()
    expect(page.locator("#result")).to_be_hidden()


def test_the_class_is_chosen_by_keyboard(page: Any) -> None:
    choose(page, scan_png=scan())
    winner = predicted(page)
    page.locator("#class").focus()
    page.keyboard.type("pit")
    heat(page, "for the class pituitary")
    page.locator(".bars button[value='no tumor']").press("Enter")
    heat(page, "for the class no tumor")
    expect(page.locator("#class")).to_have_value("no tumor")
    expect(page.locator("#prediction")).to_have_text(winner)


def test_the_slider_changes_the_opacity_by_keyboard(page: Any) -> None:
    choose(page, scan_png=scan())
    predicted(page)
    page.focus("#opacity")
    page.keyboard.press("End")
    expect(page.locator(".heat")).to_have_css("opacity", "1")
    page.keyboard.press("Home")
    expect(page.locator(".heat")).to_have_css("opacity", "0")
    expect(page.locator("#opacity-value")).to_have_text("0 %")


def test_all_classes_are_shown_in_the_order_of_the_bars(page: Any) -> None:
    choose(page, scan_png=scan())
    predicted(page)
    page.select_option("#class", "all")
    expect(page.locator(".panel")).to_have_count(4)
    names = page.locator(".bars .name").all_inner_texts()
    assert page.locator("figcaption strong").all_inner_texts() == names
    expect(page.locator(".bars button[aria-pressed='true']")).to_have_count(4)


def test_the_teacher_stands_beside_with_agreement_and_chance(page: Any) -> None:
    choose(page, scan_png=scan())
    predicted(page)
    page.select_option("#beside", "teacher")
    heat(page, "of teacher.big, version 1")
    expect(page.locator(".panel")).to_have_count(2)
    words = (
        r"Agreement with the teacher: -?\d\.\d\d; two maps of different images reach 0\.1[23]\."
    )
    expect(page.locator("#agreement-words")).to_have_text(re.compile(words))
    expect(page.locator("#versus")).to_have_text(re.compile("^The teacher says"))
    expect(page.locator(".bars .track")).to_have_count(8)
    expect(page.locator("#agreement-table tbody tr")).to_have_count(3)


def test_two_versions_stand_side_by_side(page: Any) -> None:
    choose(page, scan_png=scan())
    predicted(page)
    page.select_option("#beside", "brain@1")
    heat(page, "of brain, version 1")
    heat(page, "of brain, version 2")
    expect(page.locator("#agreement-heading")).to_contain_text("brain, version 1")
    page.select_option("#beside", "")
    expect(page.locator(".panel")).to_have_count(1)
    page.select_option("#model", "1")
    heat(page, "of brain, version 1")
    expect(page.locator("#origin-model")).to_have_text("brain, version 1")


def test_the_verdict_belongs_to_the_chosen_method(page: Any) -> None:
    expect(page.locator("#verdict")).to_have_class(re.compile("passed"))
    page.select_option("#method", "featuremaps")
    expect(page.locator("#verdict-name")).to_contain_text("failed")
    page.select_option("#method", "scorecam_fast")
    expect(page.locator("#verdict-name")).to_contain_text("not checked")


def test_another_method_is_named_with_its_map(page: Any) -> None:
    choose(page, scan_png=scan())
    predicted(page)
    page.select_option("#method", "scorecam_fast")
    heat(page, "Fast Score-CAM for the class")
    expect(page.locator("#explained")).to_contain_text("within a budget of forward passes")


@pytest.mark.parametrize("name", ["slice_dcm", "slice_tif"])
def test_a_file_that_browsers_cannot_show_is_shown_by_the_service(page: Any, name: str) -> None:
    content = dicom() if name.endswith("dcm") else scan("TIFF")
    choose(page, **{name: content})
    predicted(page)
    natural = page.locator(".scan").evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert natural == [96, 72]


def test_a_file_that_is_no_image_is_refused_in_plain_words(page: Any) -> None:
    choose(page, report_txt=b"no image")
    expect(page.locator("#problem")).to_contain_text("no image that can be read here")
    expect(page.locator(".unseen")).to_be_visible()
    choose(page, scan_png=scan())
    predicted(page)
    expect(page.locator("#problem")).to_be_hidden()


def test_the_picture_and_the_answer_can_be_saved(page: Any) -> None:
    choose(page, scan_png=scan())
    winner = predicted(page)
    page.select_option("#beside", "teacher")
    heat(page, "of teacher.big")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save picture").click()
    assert saved.value.suggested_filename == "scan-heat-map.png"
    drawn = np.asarray(Image.open(saved.value.path()).convert("RGB")).astype(int)
    assert drawn.shape[1] == 2 * 512 + 3 * 12
    assert (drawn[:384, :, 0] - drawn[:384, :, 2]).max() > 60  # colours over the grey image
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save answer").click()
    answer = json.loads(Path(saved.value.path()).read_text())
    assert answer["prediction"]["predictions"][0]["prediction"] == winner
    assert answer["explanation"]["against"]["model"]["name"] == "teacher.big"


def test_the_right_class_is_noted_by_the_service(page: Any) -> None:
    choose(page, scan_png=scan())
    predicted(page)
    page.select_option("#label", "pituitary")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#thanks")).to_have_text("Thank you: pituitary was noted.")


def test_the_card_of_the_model_is_there(page: Any) -> None:
    page.locator("#about summary").click()
    assert page.locator("#card :is(h3, h4)").all_inner_texts() == ["Brain", "Data"]
    expect(page.locator("#facts")).to_contain_text("teacher.big@1")


def test_a_sample_is_tried_with_one_press(page: Any) -> None:
    page.get_by_role("button", name="Sample 2").click()
    predicted(page)
    expect(page.locator("#file-name")).to_have_text("sample-2.png")
    expect(page.locator("#set")).to_contain_text("90 % set: ")
    expect(page.locator("#calibration")).to_contain_text("are calibrated")


def test_an_image_unlike_those_of_the_training_is_warned_of(page: Any) -> None:
    choose(page, scan_png=scan())  # the models know nothing but noise
    predicted(page)
    expect(page.locator("#ood")).to_contain_text("of the validation images are nearer to them")


def test_the_documentation_of_the_api_opens_from_the_page(page: Any) -> None:
    page.get_by_role("link", name="API documentation").click()
    page.locator(".swagger-ui .info").first.wait_for()
