"""Uploads as bytes, and how servers answer them."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kdray.bench._servers import Server
from kdray.data.phantom import Params, rows
from kdray.errors import RunError

#: Clients at once.
CLIENTS = 8
#: Side of the uploaded image, pixels, and about how many bytes its file has.
SIDE, FILE_BYTES = 512, 48_000
_BOUNDARY = "kdray-bench"


@dataclass(frozen=True)
class Answers:
    """How a server answered.

    Args:
        milliseconds: Of each answer with status 200, smallest first.
        seconds: How long it was asked.
        failures: Status or error -> how often.
    """

    milliseconds: Sequence[float]
    seconds: float
    failures: Mapping[str, int]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.milliseconds) / self.seconds

    def percentile(self, share: float) -> float:
        """Return what a share of the answers took at most, ms."""
        place = min(int(len(self.milliseconds) * share / 100), len(self.milliseconds) - 1)
        return self.milliseconds[place]


def drawn_files(count: int, side: int = SIDE, size: int = FILE_BYTES) -> list[bytes]:
    """Return drawn scans as JPEG files.

    Args:
        count: How many.
        side: Their height and width, pixels.
        size: About how many bytes each has.
    """
    scans = rows(Params(num_images=max(count, 4), seed=5, size=side))
    pixels = [read for scan in scans if not isinstance(read := scan.read(), bytes)]
    return [_jpeg(Image.fromarray(_noisy(image)).convert("RGB"), size) for image in pixels[:count]]


def post_body(image: bytes, **fields: str) -> tuple[dict[str, str], bytes]:
    """Return headers and body of a request that uploads an image.

    Args:
        image: An image file.
        fields: Other fields of the form.
    """
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="scan.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = "".join(parts).encode() + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}, body


def post(path: str, image: bytes, **fields: str) -> bytes:
    """Return a whole HTTP request that uploads an image.

    Args:
        path: Where to.
        image: An image file.
        fields: Other fields of the form.
    """
    headers, body = post_body(image, **fields)
    head = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def ask(
    server: Server,
    requests: Sequence[bytes],
    seconds: float,
    clients: int = CLIENTS,
    rate: float | None = None,
) -> Answers:
    """Return how a server answered for some seconds.

    Args:
        server: Who is asked.
        requests: What is asked, in turn.
        seconds: How long.
        clients: Connections.
        rate: Requests a second; None: each client asks again as soon as it is answered.

    Raises:
        RunError: It answered nothing.
    """
    load = {
        "host": "127.0.0.1",
        "port": server.port,
        "requests": [base64.b64encode(request).decode("ascii") for request in requests],
        "clients": clients,
        "rate": rate,
        "seconds": seconds,
    }
    done = subprocess.run(
        [sys.executable, "-m", "kdray.bench._load"],
        input=json.dumps(load).encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RunError(server.site.name, f"could not be asked: {done.stderr.decode()[-500:]}")
    found = json.loads(done.stdout)
    if not found["milliseconds"]:
        problem = f"answered nothing: {found['failures']}. {server.said()[-500:]}"
        raise RunError(server.site.name, problem)
    return Answers(sorted(found["milliseconds"]), found["seconds"], found["failures"])


def _noisy(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Add the grain of a real scan: smooth drawings make tiny files that decode in no time."""
    grain = np.random.default_rng(0).normal(0, 8, image.shape)
    noisy: NDArray[np.uint8] = np.clip(image + grain, 0, 255).astype(np.uint8)
    return noisy


def _jpeg(image: Image.Image, size: int) -> bytes:
    """Return a JPEG file of the quality whose size is nearest."""
    low, high = 20, 96
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if len(_encoded(image, middle)) <= size else (low, middle)
    return _encoded(image, low)


def _encoded(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
