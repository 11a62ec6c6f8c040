"""The application on Ray Serve: an ingress, a pool that predicts, a pool that explains.

Both pools hold all models of the service and scale on their own, so explanations cannot make
predictions wait.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
)
from ray.serve.handle import DeploymentHandle

from kdray.spec.service import Service
from kdray_serve.app import create_app
from kdray_serve.catalogue import Key, details, pinned
from kdray_serve.refusal import Refusal, busy
from kdray_serve.schema import Explanation, Prediction

Result = TypeVar("Result")
_READY_SECONDS = 10.0
_EXPLAIN_RETRY_SECONDS = 5


def application(spec: dict[str, Any]) -> serve.Application:
    """Return the Serve application of a Service spec.

    Ray Serve's config files can name it: ``import_path: kdray_serve.deployment:application`` with
    the spec as ``args``.

    Raises:
        RegistryError: A model, version or alias is not in the registry.
    """
    service = pinned(Service.model_validate_json(json.dumps(spec)))
    predicting = _pool("predict", service).bind(service.model_dump_json(), explain=False)
    explaining = _pool("explain", service).bind(service.model_dump_json(), explain=True)
    ingress = serve.deployment(serve.ingress()(Ingress)).options(
        name="http",
        num_replicas=1,
        ray_actor_options={"num_cpus": 0},
        # The pools have the queues; the ingress only must not be the narrow place before them.
        max_ongoing_requests=4 * service.limits.max_queued_requests + 16,
    )
    return ingress.bind(service.model_dump_json(), predicting, explaining)


class Ingress:
    """Speaks HTTP and hands the work to the pools.

    Args:
        spec: The pinned service, JSON.
        predicting: The pool that predicts.
        explaining: The pool that explains.
    """

    def __init__(
        self, spec: str, predicting: DeploymentHandle, explaining: DeploymentHandle
    ) -> None:
        self._service = Service.model_validate_json(spec)
        self._answers = Pools(predicting, explaining)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Return the HTTP application; Serve asks for it after the constructor."""
        return create_app(details(self._service), self._answers, self._service.limits)


class Replica:
    """Models in a process of its own.

    Args:
        spec: The pinned service, JSON.
        explain: Whether it is of the pool that explains.
    """

    def __init__(self, spec: str, *, explain: bool) -> None:
        import torch  # seconds to import: only the replicas need them

        from kdray_serve.service import Models

        service = Service.model_validate_json(spec)
        torch.set_num_threads(max(1, int(service.cpus_per_replica)))
        self._models = Models(service)
        self._models.warm_up(explain=explain)

    async def predict(self, model: Key, data: bytes) -> Prediction | Refusal:
        """Return the probabilities for an image file."""
        return await _outcome(lambda: self._models.predict(model, data))

    async def explain(
        self, model: Key, data: bytes, method: str | None, target: str | None
    ) -> Explanation | Refusal:
        """Return probabilities and heat map for an image file."""
        return await _outcome(lambda: self._models.explain(model, data, method, target))

    async def ready(self) -> bool:
        """Return True: the constructor has loaded the models."""
        return True


class Pools:
    """Answers by the replicas of two pools.

    Args:
        predicting: The pool that predicts.
        explaining: The pool that explains.
    """

    def __init__(self, predicting: DeploymentHandle, explaining: DeploymentHandle) -> None:
        self._predicting = predicting
        self._explaining = explaining

    async def predict(self, model: Key, data: bytes) -> Prediction:
        """Return the probabilities for an image file, or raise a Refusal."""
        answer: Prediction = await _asked(
            "predictions", 1, lambda: self._predicting.predict.remote(model, data)
        )
        return answer

    async def explain(
        self, model: Key, data: bytes, method: str | None, target: str | None
    ) -> Explanation:
        """Return probabilities and heat map for an image file, or raise a Refusal."""
        answer: Explanation = await _asked(
            "explanations",
            _EXPLAIN_RETRY_SECONDS,
            lambda: self._explaining.explain.remote(model, data, method, target),
        )
        return answer

    async def ready(self) -> bool:
        """Return whether a replica of each pool answers."""
        pools = (self._predicting, self._explaining)
        try:
            async with asyncio.timeout(_READY_SECONDS):
                return all([await pool.ready.remote() for pool in pools])
        except (TimeoutError, RayActorError, DeploymentUnavailableError, ReplicaUnavailableError):
            return False
        except BackPressureError:
            return True  # full of work, so it is there


def _pool(name: str, service: Service) -> serve.Deployment:
    scaling = service.autoscaling
    replicas: dict[str, Any] = {"num_replicas": scaling.min_replicas}
    if scaling.max_replicas > scaling.min_replicas:
        replicas = {"autoscaling_config": scaling.model_dump()}
    return serve.deployment(Replica).options(
        name=name,
        ray_actor_options={"num_cpus": service.cpus_per_replica},
        max_ongoing_requests=2 * scaling.target_ongoing_requests,
        max_queued_requests=service.limits.max_queued_requests,
        **replicas,
    )


async def _outcome(work: Callable[[], Result]) -> Result | Refusal:
    """Return what the work returns; a refusal is a value too, not a failure of the replica."""
    try:
        return await asyncio.to_thread(work)
    except Refusal as refusal:
        return refusal


async def _asked(what: str, seconds: int, ask: Callable[[], Awaitable[Any]]) -> Any:
    try:
        answer = await ask()
    except BackPressureError:
        raise busy(what, seconds) from None
    except (RayActorError, DeploymentUnavailableError, ReplicaUnavailableError) as error:
        detail = "The process that was to answer has ended; another takes its place."
        raise Refusal(503, f"{detail} Try again.", {"Retry-After": str(seconds)}) from error
    if isinstance(answer, Refusal):
        raise answer
    return answer
