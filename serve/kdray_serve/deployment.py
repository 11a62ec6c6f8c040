"""The application on Ray Serve: replicas that speak HTTP and predict, and others that explain.

A prediction goes from Serve's proxy to one replica and back, which is all that Serve can do in
one hop. Explanations have replicas of their own, so that they cannot make predictions wait; both
kinds hold the models they need and scale on their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
)
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kdray.served.cluster import LOG_PIPE, METRICS_PORT
from kdray.spec.keys import ApiKey
from kdray.spec.service import Service
from kdray_serve.answering.counter import make_worker
from kdray_serve.answering.explaining import RETRY_SECONDS, Here
from kdray_serve.answering.follow import Follower
from kdray_serve.records.logs import set_up
from kdray_serve.records.metrics import Metrics
from kdray_serve.records.scrape import scrape_on
from kdray_serve.refusal import Refusal, busy
from kdray_serve.whole import Whole
from kdray_serve.work import Explained, Key, Upload, Wish

_GONE = (RayActorError, DeploymentUnavailableError, ReplicaUnavailableError)
_READY_SECONDS = 10.0
#: Requests besides those that wait for a model: pages, facts, health.
_BESIDES = 64
#: How long a replica that is stopped may take for what it is answering, seconds.
_DRAIN_SECONDS = 30.0


def application(spec: dict[str, Any]) -> serve.Application:
    """Return the Serve application of a Service spec.

    Ray Serve's config files can name it: ``import_path: kdray_serve.deployment:application`` with
    the spec as ``args``.

    Raises:
        ValidationError: The spec has a mistake; Ray's own checks would let typos pass.
        ValueError: ``auth`` is null: nobody would see a key that is made at the start.
    """
    service = Service.model_validate_json(json.dumps(spec))
    if service.auth is None:
        raise ValueError("auth: name the keys, as {file: ...} or {environment: ...}")
    return build(service)


def build(service: Service, keys: Sequence[ApiKey] = ()) -> serve.Application:
    """Return the Serve application of a service.

    Args:
        service: What is served.
        keys: The keys made at the start, where the service's ``auth`` is null; only hashes.
    """
    spec, kept = service.model_dump_json(), [key.model_dump_json() for key in keys]
    limits = service.limits
    explaining = _deployment(Explainer, "explain", service, limits.max_queued_requests)
    http = _deployment(
        serve.ingress()(Http), "http", service, 2 * limits.max_queued_requests + _BESIDES
    )
    return http.bind(spec, kept, explaining.bind(spec))


def behind_proxy(app: ASGIApp) -> ASGIApp:
    """Return an application without ``X-Request-ID`` in its answers: Serve's proxy adds it."""

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        async def unnamed(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0] != b"x-request-id"]
                message = {**message, "headers": kept}
            await send(message)

        await app(scope, receive, unnamed)

    return inner


class Http:
    """Speaks HTTP and predicts.

    Args:
        spec: The service, JSON.
        keys: The keys made at the start, JSON.
        explaining: The replicas that explain.
    """

    def __init__(self, spec: str, keys: list[str], explaining: DeploymentHandle) -> None:
        self._is_open = True
        service = _begun(spec)
        made = [ApiKey.model_validate_json(key) for key in keys]
        self._whole = Whole(service, made, Elsewhere(explaining))

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return the HTTP application once the models are loaded."""
        await self._whole.start()
        return behind_proxy(self._whole.app)

    async def check_health(self) -> None:
        """Raise what is wrong; Serve replaces the replica then."""
        self._whole.desk.models()
        _check_progress(self._whole.desk.is_stuck)
        if METRICS_PORT in os.environ:  # nobody else asks there whether the service is ready
            self._whole.observed.metrics.ready(await self._whole.desk.ready())

    async def __del__(self) -> None:
        """Write down what waits; Serve calls it before it ends the process."""
        if self._is_open:
            self._is_open = False
            await self._whole.close()


class Explainer:
    """Explains.

    Args:
        spec: The service, JSON.
    """

    def __init__(self, spec: str) -> None:
        service = _begun(spec)
        self._service = service
        metrics = Metrics(service.ood.flag_above)  # shown by the replicas that speak HTTP
        worker = make_worker(service, meter=metrics)
        self._here = Here(worker, service.limits, metrics)
        self._follower = Follower(service, worker.warm)
        self._follower.look()
        self._following: asyncio.Task[None] | None = None

    async def explain(self, key: Key, image: Upload, wish: Wish) -> Explained | Refusal:
        """Return what a version says of an image, and where it looked; or why not."""
        self._follow()
        try:
            return await self._here.explain(key, image, wish)
        except Refusal as refusal:
            return refusal  # a value too, not a failure of the replica

    async def ready(self) -> bool:
        """Return whether it would explain now; the constructor has loaded the models."""
        self._follow()
        return await self._here.ready()

    def check_health(self) -> None:
        """Raise what is wrong; Serve replaces the replica then."""
        _check_progress(self._here.is_stuck)

    def _follow(self) -> None:
        """Load new versions before they are asked for; begun here, where there is a loop."""
        if self._following is None and self._service.refresh_seconds:
            self._following = asyncio.get_running_loop().create_task(self._follower.follow())


class Elsewhere:
    """Explanations by other replicas.

    Args:
        replicas: Their handle.
    """

    def __init__(self, replicas: DeploymentHandle) -> None:
        self._replicas = replicas

    async def explain(self, key: Key, image: Upload, wish: Wish) -> Explained:
        """Return what a version says of an image, and where it looked, or raise a Refusal."""
        try:
            answer: Explained | Refusal = await self._replicas.explain.remote(key, image, wish)
        except BackPressureError:
            raise busy("explanations", RETRY_SECONDS) from None
        except _GONE as error:
            detail = "The process that was to answer has ended; another takes its place."
            headers = {"Retry-After": str(RETRY_SECONDS)}
            raise Refusal(503, f"{detail} Try again.", headers) from error
        if isinstance(answer, Refusal):
            raise answer
        return answer

    async def ready(self) -> bool:
        """Return whether a replica answers."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                return bool(await self._replicas.ready.remote())
        except (TimeoutError, *_GONE):
            return False
        except BackPressureError:
            return True  # full of work, so it is there


def _check_progress(is_stuck: bool) -> None:
    if is_stuck:
        raise RuntimeError("a model does not come to an end")


def _deployment(kind: Any, name: str, service: Service, most: int) -> serve.Deployment:
    """Return a deployment.

    Args:
        kind: Its class.
        name: What Serve calls it.
        service: Of which ``autoscaling`` says how many replicas it has.
        most: Requests at once in one replica; the replica itself refuses before, with a reason.
    """
    scaling = service.autoscaling
    replicas: dict[str, Any] = {"num_replicas": scaling.min_replicas}
    if scaling.max_replicas > scaling.min_replicas:
        replicas = {"autoscaling_config": scaling.model_dump()}
    return serve.deployment(kind).options(
        name=name,
        ray_actor_options={"num_cpus": service.cpus_per_replica},
        max_ongoing_requests=most,
        max_queued_requests=service.limits.max_queued_requests,
        graceful_shutdown_timeout_s=_DRAIN_SECONDS,
        health_check_period_s=5,
        health_check_timeout_s=30,
        **replicas,
    )


def _begun(spec: str) -> Service:
    """Return the service, with this process's log and counts where they are read."""
    service = Service.model_validate_json(spec)
    pipe = os.environ.get(LOG_PIPE)
    if pipe is not None:
        with suppress(OSError):
            sys.stderr = open(pipe, "w", buffering=1, encoding="utf-8")
    set_up(service.log)
    if METRICS_PORT in os.environ:
        scrape_on(int(os.environ[METRICS_PORT]))
    return service
