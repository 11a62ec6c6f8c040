"""The service in one process, without Ray and PyTorch."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from kdray.infer import Predictor
from kdray.registry import Registry
from kdray.registry.serving import read_serving

pytestmark = pytest.mark.end_to_end
#: What the process must not load: each of them is slow to import, and some are hundreds of MB.
FORBIDDEN = ("torch", "ray", "pyarrow", "sklearn", "matplotlib", "scipy", "pandas", "skimage")


def test_the_ready_line_names_address_and_seconds(edge: Any) -> None:
    [line] = [line for line in edge.lines if "ready at" in line]
    assert re.search(rf"ready at {edge.url} after \d+\.\d s", line)


def test_page_and_documentation_are_open_and_models_need_the_key(edge: Any) -> None:
    assert "<html" in httpx.get(edge.url).text
    assert httpx.get(f"{edge.url}/openapi.json").json()["info"]["title"] == "kdray"
    assert httpx.get(f"{edge.url}/readyz").status_code == 200
    assert httpx.get(f"{edge.url}/v1/models").status_code == 401
    with edge.client() as client:
        [model] = client.get("/v1/models").json()["models"]
    assert (model["name"], model["version"]) == ("brain", 1)


def test_probabilities_are_those_of_pytorch_with_the_temperature_of_the_package(
    edge: Any, kept: Path, scan: bytes
) -> None:
    folder = Registry(str(kept)).fetch("brain", 1)
    predictor, serving = Predictor(folder), read_serving(folder)
    confidence = serving.read_confidence(serving.read_arrays())
    logits = predictor.logits(predictor.decode(scan)[None])
    [expected] = confidence.probabilities(logits)
    [said] = edge.post("predict", scan).json()["predictions"]
    assert list(said["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-5)
    assert said["calibrated"] is True


def test_a_map_is_that_of_pytorch(edge: Any, kept: Path, scan: bytes) -> None:
    predictor = Predictor(Registry(str(kept)).fetch("brain", 1))
    fields = {"method": "featuremaps", "class": "pituitary", "raw": "true"}
    [found] = edge.post("explain", scan, **fields).json()["maps"]
    [[expected]] = predictor.explain(
        predictor.decode(scan)[None], "featuremaps", {}, np.array([3])
    ).maps
    assert found["values"]["shape"] == list(expected.shape)
    np.testing.assert_allclose(floats(found["values"]), expected, atol=2e-3)


def floats(values: dict[str, Any]) -> np.ndarray:
    import base64

    return np.frombuffer(base64.b64decode(values["float32"]), "<f4").reshape(values["shape"])


def test_nothing_heavy_is_loaded_to_answer(spec_of: Callable[..., Path], tmp_path: Path) -> None:
    script = tmp_path / "answer.py"
    script.write_text(
        textwrap.dedent(
            """
            import asyncio, io, json, sys
            from PIL import Image
            from kdray.spec.service import Service
            from kdray_serve.whole import Whole
            import kdray_serve.edge, kdray_serve.__main__

            buffer = io.BytesIO()
            Image.radial_gradient("L").save(buffer, "PNG")

            async def main(service):
                whole = Whole(service, may_use_torch=False)
                await whole.start()
                import httpx
                transport = httpx.ASGITransport(whole.app)
                url = "http://127.0.0.1"
                async with httpx.AsyncClient(transport=transport, base_url=url) as c:
                    files = {"image": ("scan.png", buffer.getvalue())}
                    for call in (
                        c.post("/v1/models/brain/predict", files=files),
                        *(
                            c.post("/v1/models/brain/explain", files=files, data={"method": name})
                            for name in ("gradcam", "featuremaps", "scorecam")
                        ),
                        c.get("/"), c.get("/v1/models"), c.get("/v1/models/brain"),
                        c.get("/docs"), c.get("/openapi.json"), c.get("/metrics"),
                        c.post("/v1/refresh"), c.get("/v1/status"), c.get("/v2/models/brain"),
                    ):
                        answer = await call
                        assert answer.status_code in (200, 422), (answer.url, answer.text)
                await whole.close()

            asyncio.run(main(Service.model_validate_json(open(sys.argv[1]).read())))
            print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
            """
        )
    )
    done = subprocess.run(
        [sys.executable, script, spec_of(auth="none")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in FORBIDDEN if name in loaded] == []


def test_a_request_under_way_is_answered_before_the_process_ends(
    start: Callable[..., Any], spec_of: Callable[..., Path], scan: bytes
) -> None:
    server = start(spec_of(), "--edge")
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as line:
        line.sendall(
            f"POST /v1/models/brain/predict HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: Bearer {server.key}\r\nContent-Type: image/png\r\n"
            f"Content-Length: {len(scan)}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert line.recv(1000).startswith(b"HTTP/1.1 100")  # the application waits for the body
        server.process.send_signal(signal.SIGTERM)
        line.sendall(scan)
        answer = b""
        while data := line.recv(1 << 16):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"predictions"' in answer
    assert server.process.wait(60) == 0
    assert "stopped" in server.lines[-1]


def test_a_package_without_serving_files_is_refused_with_what_to_do(
    spec_of: Callable[..., Path], launch: Callable[..., Any], bare_package: Path
) -> None:
    spec = spec_of(models=["bare"])
    registry = Registry(json.loads(spec.read_text())["registry"])
    registry.promote("bare", registry.add("bare", bare_package, key="1"))
    process = launch(spec, "--edge")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert output.startswith("error bare@1: was promoted without the files that --edge needs.")
    assert "without --edge" in output


def test_a_second_service_on_the_same_port_says_so(
    edge: Any, spec_of: Callable[..., Path], launch: Callable[..., Any]
) -> None:
    process = launch(spec_of(port=int(edge.url.rpartition(":")[2])), "--edge")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert re.fullmatch(r"error 127\.0\.0\.1:\d+: cannot listen here: .* --port\.", output.strip())
