"""The pools on Ray Serve, without a cluster: what crosses between processes, and how it ends."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError

from kdray.errors import RegistryError
from kdray.spec.service import ServedModel, Service
from kdray_serve.catalogue import pinned
from kdray_serve.deployment import Pools, Replica, application
from kdray_serve.refusal import Refusal


class Handle:
    """Answers as a handle of Ray Serve does: with a value, or by raising."""

    def __init__(self, outcome: Any) -> None:
        self._outcome = outcome
        self.predict = self.explain = self.ready = self

    async def remote(self, *_arguments: Any) -> Any:
        if isinstance(self._outcome, Exception) and not isinstance(self._outcome, Refusal):
            raise self._outcome
        return self._outcome


def ask(outcome: Any) -> Any:
    """Return what a prediction by a pool with this outcome gives."""
    return asyncio.run(Pools(Handle(outcome), Handle(outcome)).predict(("brain", 1), b""))


def test_an_answer_of_a_pool_is_passed_on() -> None:
    assert ask("answer") == "answer"


def test_a_refusal_of_a_replica_is_raised_in_the_ingress() -> None:
    with pytest.raises(Refusal) as caught:
        ask(Refusal(415, "no image"))
    assert (caught.value.status, caught.value.detail) == (415, "no image")


@pytest.mark.parametrize("error", [BackPressureError(9, 8), ActorDiedError()])
def test_a_full_or_dead_pool_is_503_with_retry_after(error: Exception) -> None:
    with pytest.raises(Refusal) as caught:
        ask(error)
    assert caught.value.status == 503
    assert int(caught.value.headers["Retry-After"]) >= 1


def test_a_full_pool_is_ready_and_a_dead_one_is_not() -> None:
    def ready(outcome: Any) -> bool:
        return asyncio.run(Pools(Handle(True), Handle(outcome)).ready())

    assert ready(True)
    assert ready(BackPressureError(9, 8))
    assert not ready(ActorDiedError())


def test_a_refusal_survives_the_way_between_processes() -> None:
    refusal = pickle.loads(pickle.dumps(Refusal(503, "busy", {"Retry-After": "1"})))
    assert (refusal.status, refusal.detail) == (503, "busy")
    assert refusal.headers == {"Retry-After": "1"}


def test_a_replica_answers_and_returns_refusals_as_values(
    service: Callable[..., Service], scan: bytes
) -> None:
    replica = Replica(pinned(service()).model_dump_json(), explain=True)
    answer = asyncio.run(replica.explain(("brain", 2), scan, None, "glioma"))
    assert (answer.class_, answer.model.version) == ("glioma", 2)
    refusal = asyncio.run(replica.predict(("brain", 2), b"no image"))
    assert isinstance(refusal, Refusal)
    assert refusal.status == 415


def test_the_application_is_made_from_the_spec_of_a_config_file(
    service: Callable[..., Service],
) -> None:
    spec = json.loads(service().model_dump_json())
    assert application(spec) is not None
    with pytest.raises(RegistryError, match="liver"):
        application({**spec, "models": [ServedModel(name="liver").model_dump()]})
