"""`GET /metrics`: for Prometheus, and for nobody else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families


def test_the_answer_is_text_of_prometheus(served: Any) -> None:
    answer = served.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"kdray_requests", "kdray_request_seconds", "kdray_ready"} <= families


@pytest.mark.parametrize("is_ready", [True, False])
def test_readiness_is_looked_up_when_it_is_asked_for(served: Any, is_ready: bool) -> None:
    served.desk.is_ready = is_ready
    assert f"kdray_ready {float(is_ready)}" in served.get("/metrics").text


def test_requests_of_all_protocols_are_counted_by_their_route(served: Any) -> None:
    served.post("/v1/models/brain/predict", files={"image": b"x"})
    served.post("/v1/models/brain:predict", json={"instances": [[[1]]]})
    served.post("/v2/models/brain/infer", json={})
    text = served.get("/metrics").text
    for route, status in [
        ("/v1/models/{name}/predict", 200),
        ("/v1/models/{name}:predict", 200),
        ("/v2/models/{name}/infer", 400),
    ]:
        assert f'kdray_requests_total{{route="{route}",status="{status}"}} 1.0' in text


def test_nothing_that_a_client_sends_becomes_a_label(served: Any) -> None:
    served.get("/v1/models/forged-name")
    served.get("/forged-path")
    served.post("/v1/models/forged/explain", files={"image": b"x"}, data={"method": "forged"})
    served.post("/v1/feedback", json={"request_id": "r", "label": "forged", "model": "forged@1"})
    assert "forged" not in served.get("/metrics").text


def test_only_admins_may_see_it(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [
        {"name": role, "roles": [role], "sha256": hashlib.sha256(role.encode()).hexdigest()}
        for role in ("predict", "admin")
    ]
    monkeypatch.setenv("KDRAY_TEST_KEYS", json.dumps(keys))
    served = serve(auth={"environment": "KDRAY_TEST_KEYS"})
    statuses = [
        served.get("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code
        for key in ("predict", "admin", "wrong")
    ]
    assert statuses == [403, 200, 401]
