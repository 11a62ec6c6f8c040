"""The small applications of Ray Serve; in a module, so that replicas import it by its name."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI, UploadFile
from ray import serve

from kdray_serve.baselines._common import Classifier, Options, onnx_network, without_model

empty_app, plain_app = FastAPI(), FastAPI()


@serve.deployment(max_ongoing_requests=100)
@serve.ingress(empty_app)
class Empty:
    """Reads uploads.

    Args:
        given: How the server was asked for.
    """

    def __init__(self, given: Options) -> None:
        self._answer = without_model(given)

    @empty_app.get("/readyz")
    async def readyz(self) -> dict[str, str]:
        """Answer."""
        return {"status": "ready"}

    @empty_app.post("/predict")
    async def predict(self, image: UploadFile) -> dict[str, Any]:
        """Read an upload."""
        return self._answer(await image.read())


@serve.deployment(max_ongoing_requests=100)
@serve.ingress(plain_app)
class Plain:
    """Classifies uploads.

    Args:
        package: Folder of the package.
    """

    def __init__(self, package: Path) -> None:
        self._classifier = Classifier(package, onnx_network(package))

    @plain_app.get("/readyz")
    async def readyz(self) -> dict[str, str]:
        """Answer."""
        return {"status": "ready"}

    @plain_app.post("/predict")
    async def predict(self, image: UploadFile) -> dict[str, Any]:
        """Classify an upload."""
        return self._classifier(await image.read())
