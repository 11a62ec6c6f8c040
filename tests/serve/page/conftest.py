"""A browser, and the page with answers that are hard to get from a real service."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

import kdray_serve
from kdray_serve.http.headers import PAGE_POLICY

PAGE = Path(kdray_serve.__file__).parent / "page"
#: No wait for the page is longer, ms.
PATIENCE_MS = 60_000
ORIGIN = "http://localhost"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CLASSES = ["glioma", "meningioma", "no tumor", "pituitary"]
NOTICE = "Research software. Not a medical device: not for diagnosis or treatment."
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


def picture(mode: str = "RGBA", size: int = 16) -> bytes:
    """Return a small PNG."""
    ramp = np.linspace(0, 255, size * size, dtype=np.uint8).reshape(size, size)
    buffer = io.BytesIO()
    Image.fromarray(ramp).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def method(name: str, title: str, needs_class: bool = True) -> dict[str, Any]:
    return {"name": name, "title": title, "needs_class": needs_class}


def version(number: int = 2, name: str = "brain") -> dict[str, Any]:
    return {"name": name, "version": number, "weights_sha256": "ab" * 32}


class Canned:
    """The service's answers without a service; tests change them before or between requests.

    ``refusals`` holds (end of the path, status, headers, problem): each refuses one request.
    ``asked`` holds (end of the path, fields or JSON, headers) of what was asked.
    """

    def __init__(self) -> None:
        self.refusals: list[tuple[str, int, dict[str, str], dict[str, Any]]] = []
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.key = ""
        self.held: list[Any] | None = None
        self.who = {"name": "anybody", "roles": ["predict", "explain", "admin"]}
        self.summary: dict[str, Any] = {
            "name": "brain",
            "version": 2,
            "aliases": ["champion"],
            "classes": CLASSES,
            "input": {"width": 64, "height": 64, "channels": 1},
            "explanations": [
                method("gradcam", "Grad-CAM: maps weighted by the gradient."),
                method("scorecam", "Score-CAM: maps weighted by the score."),
                method("featuremaps", "Feature maps: their mean.", needs_class=False),
            ],
            "teacher": "teacher.brain@1",
            "calibrated": True,
            "samples": 0,
            "canary": None,
        }
        self.details: dict[str, Any] = {
            "id": "cnn5",
            "role": "student",
            "architecture": {"name": "cnn5", "params": {"widths": [4, 8]}},
            "weights_sha256": "ab" * 32,
            "lineage": {},
            "metrics": {},
            "card": "# brain\n\nA card.",
            "explanation_scores": None,
            "versions": [1, 2],
        }
        self.prediction: dict[str, Any] = {
            "prediction": "glioma",
            "probabilities": dict(zip(CLASSES, (0.7, 0.2, 0.09, 0.01), strict=True)),
            "calibrated": True,
            "prediction_set": {"coverage": 0.9, "classes": ["glioma", "meningioma"]},
            "ood": {"score": 0.3, "flag": False, "flag_above": 0.99},
            "image": {"name": "scan.png", "width": 16, "height": 16, "sha256": "cd" * 32},
        }
        self.explanation: dict[str, Any] = {}  # what differs from the usual answer
        self.against: dict[str, Any] = {}
        self.reason = ""
        self.estimate: float | None = None

    def predicted(self) -> dict[str, Any]:
        """Return the answer to a prediction."""
        return {**self._answered(), "predictions": [self.prediction]}

    def explained(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to an explanation with these form fields."""
        wanted = fields.get("class") or self.prediction["prediction"]
        maps = [self._map(name) for name in (CLASSES if wanted == "all" else [wanted])]
        return {
            **self._answered(),
            "prediction": self.prediction,
            "method": fields["method"],
            "requested_method": fields["method"],
            "replaced": "",
            "maps": maps,
            "against": self._against(fields["against"], maps) if "against" in fields else None,
            "forwards": 1,
            **self.explanation,
        }

    def shown(self) -> dict[str, Any]:
        """Return the answer about the model."""
        return {**self.summary, **self.details}

    def listed(self) -> dict[str, Any]:
        """Return the answer about all models."""
        return {"models": [self.summary], "notice": NOTICE}

    def __call__(self, route: Any) -> None:
        """Answer a request of the browser."""
        path = route.request.url.removeprefix(ORIGIN).split("?")[0]
        if path.startswith("/v1/"):
            self._api(route, path)
        else:
            file = PAGE / ("index.html" if path == "/" else path.removeprefix("/page/"))
            headers = {"Content-Security-Policy": PAGE_POLICY, "Content-Type": _TYPES[file.suffix]}
            route.fulfill(body=file.read_bytes(), headers=headers)

    def _api(self, route: Any, path: str) -> None:
        fields = _fields(route.request)
        self.asked.append((path, fields, route.request.headers))
        for refusal in self.refusals:
            if path.endswith(refusal[0]):
                self.refusals.remove(refusal)
                return _refuse(route, *refusal[1:])
        if self.key and route.request.headers.get("authorization") != f"Bearer {self.key}":
            given = "authorization" in route.request.headers
            words = "This key is not known here." if given else "A key is needed."
            return _refuse(route, 401, {}, {"detail": words})
        if self.held is not None and path.endswith("/explain"):
            self.held.append((route, fields))
            return None
        return self._answer(route, path, fields)

    def _answer(self, route: Any, path: str, fields: dict[str, Any]) -> None:
        if path.endswith("/predict"):
            return _answer(route, self.predicted())
        if path.endswith("/explain"):
            return _answer(route, self.explained(fields))
        if path == "/v1/models":
            return _answer(route, self.listed())
        if path == "/v1/whoami":
            return _answer(route, self.who)
        if path == "/v1/feedback":
            return _answer(route, {"status": "noted"}, 202)
        if "/samples/" in path or path == "/v1/preview":
            return _picture(route)
        return _answer(route, self.shown())

    def release(self, place: int) -> None:
        """Answer a request that was held back."""
        assert self.held is not None
        route, fields = self.held[place]
        _answer(route, self.explained(fields))

    def _answered(self) -> dict[str, Any]:
        return {
            "request_id": "request-7",
            "model": version(),
            "milliseconds": 12.0,
            "notice": NOTICE,
        }

    def _map(self, name: str) -> dict[str, Any]:
        png = base64.b64encode(picture()).decode()
        heat = None if self.reason else {"width": 16, "height": 16, "png": png}
        return {
            "class": name,
            "heat_map": heat,
            "reason": self.reason,
            "estimate": self.estimate,
            "values": None,
        }

    def _against(self, wanted: str, maps: list[dict[str, Any]]) -> dict[str, Any]:
        other = ("teacher.brain", 1) if wanted == "teacher" else tuple(wanted.split("@"))
        return {
            "model": version(int(other[1]), str(other[0])),
            "role": "teacher" if wanted == "teacher" else "student",
            "prediction": self.prediction,
            "maps": deepcopy(maps),
            "agreement": [{"pearson": 0.71, "ssim": 0.6, "iou20": 0.5} for _ in maps],
            "chance": {"pearson": 0.12, "ssim": 0.2, "iou20": 0.11},
            **self.against,
        }


def _fields(request: Any) -> dict[str, Any]:
    body = request.post_data_buffer or b""
    if request.headers.get("content-type") == "application/json":
        return dict(json.loads(body))
    found = re.findall(rb'name="(\w+)"\r\n\r\n(.*?)\r\n', body)
    return {name.decode(): value.decode() for name, value in found}


def _answer(route: Any, content: dict[str, Any], status: int = 200) -> None:
    route.fulfill(status=status, content_type="application/json", body=json.dumps(content))


def _picture(route: Any) -> None:
    route.fulfill(body=picture("L"), content_type="image/png")


def _refuse(route: Any, status: int, headers: dict[str, str], problem: dict[str, Any]) -> None:
    kind = {"content-type": "application/problem+json"}
    body = json.dumps({"title": "Refused", "status": status, **problem})
    route.fulfill(status=status, headers={**headers, **kind}, body=body)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Debian's Chromium, headless; for one file, as asyncio.run fails while it is there."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shared(browser: Any) -> Any:
    """Return the one tab of a file's tests: starting one takes longer than a test."""
    return browser.new_context().new_page()


@pytest.fixture
def tab(shared: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that gives a tab; fail on script errors and requests to elsewhere."""
    wrong: list[str] = []
    listeners: dict[str, Callable[[Any], None]] = {
        "pageerror": lambda error: wrong.append(str(error)),
        "console": lambda message: _note(message, wrong),
    }

    def open_tab(
        origin: str, viewport: tuple[int, int] = (1280, 800), **media: Literal["dark", "reduce"]
    ) -> Any:
        shared.set_default_timeout(PATIENCE_MS)
        shared.set_viewport_size({"width": viewport[0], "height": viewport[1]})
        shared.emulate_media(
            **{"color_scheme": "light", "reduced_motion": "no-preference", **media}
        )
        listeners["request"] = lambda request: _check(request, origin, wrong)
        for event, listener in listeners.items():
            shared.on(event, listener)
        return shared

    yield open_tab
    for event, listener in listeners.items():
        shared.remove_listener(event, listener)
    shared.evaluate("() => sessionStorage.clear()")
    shared.goto("about:blank")
    shared.unroute_all(behavior="ignoreErrors")
    assert wrong == []


def _check(request: Any, origin: str, wrong: list[str]) -> None:
    if not request.url.startswith((origin, "data:", "blob:", "about:")):
        wrong.append(f"asked {request.url}")


def _note(message: Any, wrong: list[str]) -> None:
    # A refused request is told in the console by the browser itself.
    if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
        wrong.append(message.text)


@pytest.fixture
def canned() -> Canned:
    """Return answers to change and to open the page with."""
    return Canned()


@pytest.fixture
def visit(tab: Callable[..., Any], canned: Canned) -> Callable[..., Any]:
    """Return a function that opens the page with the canned answers, with an image if wanted."""

    def open_page(image: bool = False, fragment: str = "", **options: Any) -> Any:
        page = tab(ORIGIN, **options)
        page.route("**/*", canned)
        page.goto(f"{ORIGIN}/{fragment}")
        if image:
            give(page)
        return page

    return open_page


def give(page: Any, *names: str, content: bytes | None = None) -> None:
    """Choose images and wait for the answer."""
    files = [
        {"name": name, "mimeType": "image/png", "buffer": content or picture("L")}
        for name in names or ("scan.png",)
    ]
    page.locator("#about").wait_for()
    page.set_input_files("#file", files)


@pytest.fixture
def choose() -> Callable[..., None]:
    """Return the function that chooses images on the page."""
    return give
