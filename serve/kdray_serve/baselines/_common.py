"""What the small servers share: their options, and an image file as a network takes it."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, UploadFile
from numpy.typing import NDArray
from PIL import Image

#: Returns the logits ``[B, C]`` of images ``[B, c, H, W]``.
Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
#: Returns what is said of an image file.
Answer = Callable[[bytes], dict[str, Any]]


@dataclass(frozen=True)
class Options:
    """How a small server was asked for.

    Args:
        port: Where it listens.
        package: Folder of the package; None where it has no model.
        decode: Without a model, whether the upload is decoded and resized all the same.
        pool: Whether FastAPI's pool of threads answers (``def``) and not the event loop
            (``async def``): several requests at once, for the price of handing them over.
        tuned: On Ray: whether with the settings of Ray Serve that kdray sets.
    """

    port: int
    package: Path | None
    decode: bool
    pool: bool
    tuned: bool


def options() -> Options:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--package", type=Path)
    parser.add_argument("--decode", action="store_true")
    parser.add_argument("--pool", action="store_true")
    parser.add_argument("--tuned", action="store_true")
    return Options(**vars(parser.parse_args()))


class Classifier:
    """A network with what has to be known of its package.

    Args:
        package: Folder of the package.
        network: What computes it.
    """

    def __init__(self, package: Path, network: Network) -> None:
        facts = json.loads((package / "model.json").read_bytes())
        self._network = network
        self._classes = facts["classes"]
        self._side = facts["image_size"]
        self._mode = "L" if facts["channels"] == 1 else "RGB"
        self._mean = np.array(facts["mean"], np.float32)
        self._std = np.array(facts["std"], np.float32)

    def __call__(self, data: bytes) -> dict[str, Any]:
        """Return prediction and probabilities of an image file."""
        picture = resized(data, self._side, self._mode)
        pixels = np.asarray(picture, np.float32).reshape(self._side, self._side, -1) / 255
        images = ((pixels - self._mean) / self._std).transpose(2, 0, 1)[None]
        [logits] = self._network(np.ascontiguousarray(images))
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        probabilities = dict(zip(self._classes, shares.tolist(), strict=True))
        return {"prediction": self._classes[int(shares.argmax())], "probabilities": probabilities}


def onnx_network(package: Path) -> Network:
    """Return the network of a package on ONNX Runtime, with one thread."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        package / "model.onnx", settings, providers=["CPUExecutionProvider"]
    )

    def network(images: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(["logits"], {"images": images})[0]
        return logits

    return network


def resized(data: bytes, side: int = 224, mode: str = "RGB") -> Image.Image:
    """Return an image file as a square of the size that a model sees."""
    picture = Image.open(io.BytesIO(data)).convert(mode)
    return picture.resize((side, side), Image.Resampling.BILINEAR)


def fastapi_server(answer: Answer, given: Options) -> FastAPI:
    """Return an application with one route that reads an upload and answers."""
    app = FastAPI()

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        return {"status": "ready"}

    def in_pool(image: UploadFile) -> dict[str, Any]:
        return answer(image.file.read())

    async def in_loop(image: UploadFile) -> dict[str, Any]:
        return answer(await image.read())

    app.post("/predict")(in_pool if given.pool else in_loop)
    return app


def without_model(given: Options) -> Answer:
    """Return what a server without a model does with an upload."""
    return _decoded if given.decode else _counted


def serve_here(app: FastAPI, port: int) -> None:
    """Serve an application until it is stopped."""
    import uvicorn

    uvicorn.run(app, port=port, log_level="warning", access_log=False)


def _counted(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data)}


def _decoded(data: bytes) -> dict[str, Any]:
    return {"size": resized(data).size}
