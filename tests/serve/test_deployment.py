"""Replicas of Ray Serve without a cluster: what crosses between processes, and how it ends."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError

from kdray.spec.service import Autoscaling, Limits, Service
from kdray_serve.deployment import Elsewhere, Explainer, application, build
from kdray_serve.refusal import Refusal
from kdray_serve.work import Explained, Upload, Wish


class Handle:
    """Answers as a handle of Ray Serve does: with a value, or by raising."""

    def __init__(self, outcome: Any) -> None:
        self._outcome = outcome
        self.explain = self.ready = self

    async def remote(self, *_arguments: Any) -> Any:
        if isinstance(self._outcome, Exception) and not isinstance(self._outcome, Refusal):
            raise self._outcome
        return self._outcome


def ask(outcome: Any) -> Any:
    """Return what an explanation by replicas with this outcome gives."""
    elsewhere = Elsewhere(Handle(outcome))
    return asyncio.run(elsewhere.explain(("brain", 1), Upload(b""), Wish()))


def test_an_answer_of_a_replica_is_passed_on() -> None:
    assert ask("answer") == "answer"


def test_a_refusal_of_a_replica_is_raised_where_http_is_spoken() -> None:
    with pytest.raises(Refusal) as caught:
        ask(Refusal(415, "no image"))
    assert (caught.value.status, caught.value.detail) == (415, "no image")


@pytest.mark.parametrize("error", [BackPressureError(9, 8), ActorDiedError()])
def test_full_or_dead_replicas_are_503_with_retry_after(error: Exception) -> None:
    with pytest.raises(Refusal) as caught:
        ask(error)
    assert caught.value.status == 503
    assert int(caught.value.headers["Retry-After"]) >= 1


def test_full_replicas_are_ready_and_dead_ones_are_not() -> None:
    def ready(outcome: Any) -> bool:
        return asyncio.run(Elsewhere(Handle(outcome)).ready())

    assert ready(True)
    assert ready(BackPressureError(9, 8))
    assert not ready(ActorDiedError())


def test_a_refusal_survives_the_way_between_processes() -> None:
    refusal = pickle.loads(pickle.dumps(Refusal(503, "busy", {"Retry-After": "1"})))
    assert (refusal.status, refusal.detail) == (503, "busy")
    assert refusal.headers == {"Retry-After": "1"}


def test_a_replica_explains_and_returns_refusals_as_values(
    service: Callable[..., Service], scan: bytes
) -> None:
    async def asked() -> tuple[Any, Any]:
        replica = Explainer(service(refresh_seconds=0).model_dump_json())
        wish = Wish(method="featuremaps", classes=("glioma",))
        return (
            await replica.explain(("brain", 2), Upload(scan), wish),
            await replica.explain(("brain", 2), Upload(b"no image"), wish),
        )

    answer, refusal = asyncio.run(asked())
    assert isinstance(answer, Explained)
    assert answer.mapped.places == (0,)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 415


def test_both_kinds_of_replicas_scale_as_the_spec_says(service: Callable[..., Service]) -> None:
    scaling = Autoscaling(min_replicas=1, max_replicas=3, target_ongoing_requests=5)
    for one in deployments(service(autoscaling=scaling)):
        limits = one._deployment_config.autoscaling_config
        assert (limits.min_replicas, limits.max_replicas) == (1, 3)
        assert limits.target_ongoing_requests == 5


def test_without_scaling_the_number_of_replicas_is_fixed(service: Callable[..., Service]) -> None:
    scaling = Autoscaling(min_replicas=2, max_replicas=2)
    for one in deployments(service(autoscaling=scaling, cpus_per_replica=0.5)):
        assert one._deployment_config.autoscaling_config is None
        assert one.num_replicas == 2
        assert one.ray_actor_options["num_cpus"] == 0.5


def test_a_replica_takes_more_than_its_queues_hold_so_that_it_can_say_why_not(
    service: Callable[..., Service],
) -> None:
    http, explain = deployments(service(limits=Limits(max_queued_requests=7)))
    assert http.max_ongoing_requests > 2 * 7
    assert explain.max_ongoing_requests >= 7


def test_the_application_is_made_from_the_spec_of_a_config_file(
    service: Callable[..., Service],
) -> None:
    spec = json.loads(service(auth="none").model_dump_json())
    assert application(spec) is not None
    with pytest.raises(ValidationError, match="autoscalling"):
        application({**spec, "autoscalling": {}})
    with pytest.raises(ValueError, match="name the keys"):
        application({**spec, "auth": None})


def deployments(service: Service) -> tuple[Any, Any]:
    """Return the deployments of the replicas that speak HTTP and of those that explain."""
    http = build(service)._bound_deployment
    [explain] = [one for one in http.init_args if hasattr(one, "_bound_deployment")]
    return http, explain._bound_deployment
