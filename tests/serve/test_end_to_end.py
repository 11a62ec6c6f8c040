"""The service for real: a process with Ray Serve, asked over HTTP and through a browser."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from kdray.registry import Registry
from kdray.spec.service import Limits, Service

pytestmark = pytest.mark.end_to_end
#: Starting Ray and Ray Serve takes a minute on a busy machine of 2 cores.
START_SECONDS = 240
STOP_SECONDS = 90
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Server:
    """A running service."""

    process: subprocess.Popen[str]
    url: str
    config: Path
    lines: list[str]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=STOP_SECONDS)


@pytest.fixture(scope="module")
def server(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start the service once for all tests of this module."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spec = Service.model_validate(
        {
            "apiVersion": "kdray/v1",
            "kind": "Service",
            "name": "test",
            "registry": registry,
            "models": ["brain", "brain@1"],
            "port": port,
            "limits": Limits(max_upload_mb=1),
        }
    )
    config = tmp_path_factory.mktemp("config") / "service.json"
    config.write_text(spec.model_dump_json())
    server = Server(start(config), f"http://127.0.0.1:{port}", config, [])
    try:
        wait_until_ready(server)
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def start(config: Path) -> subprocess.Popen[str]:
    """Return the process of the service."""
    return subprocess.Popen(
        [sys.executable, "-m", "kdray_serve", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_until_ready(server: Server) -> None:
    """Read the output until the ready line, then go on reading so that the pipe never fills."""
    ready = threading.Event()

    def read() -> None:
        assert server.process.stdout is not None
        for line in server.process.stdout:
            server.lines.append(line)
            if "ready at" in line:
                ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    assert ready.wait(START_SECONDS), "".join(server.lines)
    assert any("ready at" in line for line in server.lines), "".join(server.lines)


def post(server: Server, verb: str, image: bytes, **fields: str) -> httpx.Response:
    return httpx.post(
        f"{server.url}/v1/models/brain/{verb}",
        files={"image": ("scan.png", image)},
        data=fields,
        timeout=60,
    )


def test_the_ready_line_names_the_address(server: Server) -> None:
    assert any(f"ready at {server.url}" in line for line in server.lines)


def test_health_readiness_and_models_answer(server: Server) -> None:
    assert httpx.get(f"{server.url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{server.url}/readyz", timeout=30).json() == {"status": "ready"}
    models = httpx.get(f"{server.url}/v1/models").json()["models"]
    assert [(model["name"], model["version"]) for model in models] == [("brain", 2), ("brain", 1)]


def test_replicas_answer_as_the_package_does(server: Server, registry: str, scan: bytes) -> None:
    from kdray.infer import Predictor

    predictor = Predictor(Registry(registry).fetch("brain", 2))
    expected = predictor.predict(predictor.decode(scan)[None])[0]
    answer = post(server, "predict", scan).json()
    assert list(answer["probabilities"].values()) == pytest.approx(expected.tolist(), rel=1e-4)
    explained = post(server, "explain", scan, **{"class": "pituitary"}).json()
    picture = Image.open(io.BytesIO(base64.b64decode(explained["heat_map"]["png"])))
    assert (picture.mode, picture.size, explained["class"]) == ("RGBA", (64, 64), "pituitary")


def test_refusals_cross_from_the_replicas_with_their_status(
    server: Server, encode: Callable[..., bytes]
) -> None:
    for verb in ("predict", "explain"):
        assert post(server, verb, b"no image").status_code == 415
        assert post(server, verb, b"").status_code == 422
        assert post(server, verb, b"x" * 2**21).status_code == 413
        truncated = post(server, verb, encode("JPEG", size=(300, 300))[:3000])
        assert truncated.headers["content-type"] == "application/problem+json"
        assert truncated.status_code == 422
    unknown = post(server, "explain", encode(), method="shap")
    assert "gradcam" in unknown.json()["detail"]


def test_requests_at_once_are_all_answered(server: Server, scan: bytes) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(
            target=lambda verb: statuses.append(post(server, verb, scan).status_code), args=(verb,)
        )
        for verb in ("predict", "explain") * 6
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 12


def test_a_second_service_on_the_same_port_says_so(server: Server) -> None:
    second = start(server.config)
    output, _ = second.communicate(timeout=START_SECONDS)
    assert second.returncode == 2
    [line] = output.splitlines()
    assert re.fullmatch(r"error 127\.0\.0\.1:\d+: cannot listen here: .* --port\.", line)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Debian's Chromium, headless."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(server: Server, browser: Any) -> Iterator[Any]:
    """Open the page; fail on a script error or a request to another host."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(60_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((server.url, "data:", "blob:"))
            else wrong.append(request.url)
        ),
    )
    page.goto(server.url)
    page.locator("#class option").nth(1).wait_for(state="attached")
    yield page
    context.close()
    assert wrong == []


def drop(page: Any, file: Path) -> None:
    """Drop a file on the page, as a mouse does."""
    data = base64.b64encode(file.read_bytes()).decode()
    transfer = page.evaluate_handle(
        """([data, name]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, {type: "image/png"}));
            return transfer;
        }""",
        [data, file.name],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def explained(page: Any) -> str:
    """Return the class that the visible heat map is for."""
    page.wait_for_selector("#heat:not([hidden])")
    return str(page.locator("#heat").get_attribute("alt"))


@pytest.mark.browser
def test_a_dropped_image_shows_bars_version_and_heat_map(page: Any, scan_file: Path) -> None:
    drop(page, scan_file)
    assert "Grad-CAM" in explained(page)
    shares = page.locator(".bars .percent").all_inner_texts()
    assert len(shares) == 4
    assert sum(float(share.split()[0]) for share in shares) == pytest.approx(100, abs=0.3)
    assert "brain, version 2 (champion)" in page.locator("#origin").inner_text()
    natural = page.evaluate("[heat.naturalWidth, heat.naturalHeight]")
    assert natural == [64, 64]


@pytest.mark.browser
def test_the_heat_map_lies_exactly_over_the_image(page: Any, scan_file: Path) -> None:
    page.set_input_files("#file", scan_file)
    explained(page)
    boxes = [page.locator(name).bounding_box() for name in ("#image", "#heat")]
    for side in ("x", "y", "width", "height"):
        assert boxes[0][side] == pytest.approx(boxes[1][side], abs=1)
    assert boxes[0]["width"] / boxes[0]["height"] == pytest.approx(512 / 420, rel=0.01)


@pytest.mark.browser
def test_the_slider_changes_the_opacity_by_keyboard(page: Any, scan_file: Path) -> None:
    page.set_input_files("#file", scan_file)
    explained(page)
    page.focus("#opacity")
    page.keyboard.press("End")
    assert page.locator("#heat").evaluate("heat => heat.style.opacity") == "1"
    page.keyboard.press("Home")
    assert page.locator("#heat").evaluate("heat => heat.style.opacity") == "0"
    assert page.locator("#opacity-value").inner_text() == "0 %"


@pytest.mark.browser
def test_another_class_is_explained_when_chosen_from_list_or_bar(
    page: Any, scan_file: Path
) -> None:
    page.set_input_files("#file", scan_file)
    explained(page)
    page.select_option("#class", "pituitary")
    page.wait_for_selector("#heat[alt$='pituitary']:not([hidden])")
    page.locator(".bars button[value='no tumor']").press("Enter")
    page.wait_for_selector("#heat[alt$='no tumor']:not([hidden])")
    assert page.locator("#class").input_value() == "no tumor"
    pressed = page.locator(".bars button[aria-pressed='true']")
    assert pressed.evaluate_all("all => all.map((one) => one.value)") == ["no tumor"]


@pytest.mark.browser
def test_another_method_and_another_version_can_be_chosen(page: Any, scan_file: Path) -> None:
    page.set_input_files("#file", scan_file)
    explained(page)
    page.select_option("#method", "featuremaps")
    page.wait_for_selector("#heat[alt*='feature map']:not([hidden])")
    page.select_option("#model", "1")
    page.wait_for_function("document.getElementById('origin').textContent.includes('version 1')")


@pytest.mark.browser
def test_a_file_that_is_no_image_is_refused_in_plain_words(page: Any, tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text("no image")
    page.set_input_files("#file", tmp_path / "report.txt")
    page.wait_for_selector("#problem:not([hidden])")
    assert "no image that can be read" in page.locator("#problem").inner_text()


@pytest.mark.browser
def test_an_image_that_the_browser_cannot_show_is_answered_all_the_same(
    page: Any, encode: Callable[..., bytes], tmp_path: Path
) -> None:
    (tmp_path / "scan.tif").write_bytes(encode("TIFF"))
    page.set_input_files("#file", tmp_path / "scan.tif")
    explained(page)
    assert page.locator("#unseen").is_visible()


@pytest.mark.browser
def test_the_page_works_on_a_narrow_dark_screen(
    server: Server, browser: Any, scan_file: Path
) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = context.new_page()
    page.goto(server.url)
    page.locator("#class option").nth(1).wait_for(state="attached")
    page.set_input_files("#file", scan_file)
    explained(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 18, 23)"
    context.close()


@pytest.mark.browser
def test_every_control_can_be_reached_by_keyboard(page: Any, scan_file: Path) -> None:
    page.set_input_files("#file", scan_file)
    explained(page)
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.value"))
    assert {"model", "file", "opacity", "glioma", "method", "class"} <= set(reached)


@pytest.mark.browser
def test_the_documentation_opens_without_the_internet(page: Any, server: Server) -> None:
    page.goto(f"{server.url}/docs")
    page.wait_for_selector(".opblock-summary-path")
    paths = page.locator(".opblock-summary-path").all_inner_texts()
    assert "/v1/models/{name}/explain" in [path.replace("\u200b", "") for path in paths]


def test_on_sigterm_it_stops_with_exit_code_0(server: Server) -> None:
    # Last: nothing is left to ask.
    assert server.stop() == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/healthz")
