"""Where requests are taken: which version answers, who is asked besides, and who is told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from kdray.errors import KdrayError
from kdray.spec.service import Service
from kdray_serve.answering.catalogue import Catalogue
from kdray_serve.answering.engines import Engines
from kdray_serve.answering.explaining import Explaining, Here
from kdray_serve.answering.follow import Follower
from kdray_serve.answering.intake import fingerprint
from kdray_serve.answering.lines import Bounds, Line
from kdray_serve.answering.shadow import Shadowing
from kdray_serve.answering.worker import Worker, not_loaded, parsed
from kdray_serve.meter import Answered, Meter, Silent
from kdray_serve.refusal import Refusal
from kdray_serve.schema import Details
from kdray_serve.work import Caller, Explained, Key, Pixels, Predicted, Upload, Wish

#: Parts that an image may fall into: shares are kept to a hundredth of a percent.
_PARTS = 10_000
_OTHERS = "Compare with another version: name@version."
_LOG = logging.getLogger(__name__)
Told = Callable[[Answered], None]


def make_worker(
    service: Service,
    *,
    may_use_torch: bool = True,
    explains: bool = True,
    meter: Meter | None = None,
) -> Worker:
    """Return the worker of a service, with nothing loaded yet.

    Args:
        service: The service.
        may_use_torch: Whether PyTorch may be imported.
        explains: Whether explanations are made here, and so warmed up here.
        meter: Is told what is done.
    """
    first = service.explain[0]
    engines = Engines(
        service.registry,
        service.runtime,
        may_use_torch=may_use_torch,
        explanation=(first.name, first.params) if explains else None,
        meter=meter,
    )
    return Worker(service, engines, meter)


class ServiceDesk:
    """Takes requests for the models of a service; implements ``desk.Desk``.

    Args:
        service: What is served, and within which limits.
        worker: Answers; None: one that loads the models in this process.
        explaining: Where explanations are made; None: in this process.
        meter: Is told what was done.
        told: Called with each answer, in the event loop: must be quick.
    """

    def __init__(
        self,
        service: Service,
        worker: Worker | None = None,
        explaining: Explaining | None = None,
        *,
        meter: Meter | None = None,
        told: Sequence[Told] = (),
    ) -> None:
        self._service = service
        self._meter = meter or Silent()
        self._worker = worker or make_worker(service, explains=explaining is None, meter=meter)
        half = max(1, int(service.cpus_per_replica / 2))  # the rest is for predictions
        own = Here(self._worker, service.limits, meter, half) if explaining is None else None
        self._own = own
        self._explaining: Explaining = explaining or own  # type: ignore[assignment]
        self._told = tuple(told)
        self._predictions: Line[Upload, Predicted] = Line(
            "predictions", self._worker.predict, _batches(service), meter
        )
        self._previews: Line[Upload, Pixels] = Line(
            "previews", self._previewed, _one_by_one(service), meter
        )
        self._shadowing = Shadowing(self._worker, self._meter)
        catalogue = Catalogue(service, may_use_torch=self._worker.may_use_torch)
        self._follower = Follower(service, self._worker.warm, meter, catalogue)
        self._loading_one = asyncio.Lock()  # more at once would not fit into the memory
        self._following: asyncio.Task[None] | None = None

    @property
    def service(self) -> Service:
        """What is served, and within which limits."""
        return self._service

    @property
    def is_stuck(self) -> bool:
        """Whether predictions do not come to an end any more."""
        return self._predictions.is_stuck

    async def start(self) -> None:
        """Load and warm up the models, and follow the aliases from now on.

        Raises:
            KdrayError: A model is missing or damaged.
        """
        await asyncio.to_thread(self._follower.look)
        if self._service.refresh_seconds:
            self._following = asyncio.create_task(self._follower.follow())

    async def close(self) -> None:
        """Stop following, and end the threads."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        await asyncio.to_thread(self._predictions.close)
        await asyncio.to_thread(self._previews.close)
        await asyncio.to_thread(self._shadowing.close)
        if self._own is not None:
            await self._own.close()

    def models(self) -> list[Details]:
        """Return what is served now; the first version of a name answers to the name alone."""
        table = self._follower.table
        return [table.details[one] for one in table.served]

    def found(self, name: str) -> Details:
        """Return the model of ``name``, ``name@version`` or ``name@alias``."""
        key = self._follower.found(name)
        try:
            return self._follower.details(key)
        except KdrayError as error:
            raise not_loaded(key, error) from error

    async def predict(
        self, caller: Caller, name: str, images: Sequence[Upload]
    ) -> tuple[Details, list[Predicted]]:
        """Return which version answered, and what it says of each image.

        A request of several images is answered by one version: the one for its first image.
        """
        started = time.perf_counter()
        _check_number(images, self._service.limits.max_images)
        key, is_canary = self._chosen(name, images[0])
        details = await self._read(key)
        answers = await self._predictions.ask(key, images, self._loading(key))
        predicted = [_usable(answer, place, images) for place, answer in enumerate(answers)]
        self._tell(caller, details, "predict", images, (predicted, None), (started, is_canary))
        self._ask_shadow(name, key, images, predicted)
        return details, predicted

    async def explain(
        self, caller: Caller, name: str, image: Upload, wish: Wish
    ) -> tuple[Details, Explained]:
        """Return which version answered, and where it looked."""
        started = time.perf_counter()
        key, is_canary = self._chosen(name, image)
        details = await self._read(key)
        wish = replace(wish, against=await self._against(details, wish.against))
        explained = await self._explaining.explain(key, image, wish)
        method = explained.mapped.method
        self._meter.explained(key, method, time.perf_counter() - started)
        answer = [explained.predicted], explained
        self._tell(caller, details, "explain", [image], answer, (started, is_canary))
        return details, explained

    async def preview(self, image: Upload) -> Pixels:
        """Return an image file's pixels, upright, for browsers that cannot show the file."""
        [pixels] = await self._previews.ask(("", 0), [image])
        if isinstance(pixels, Exception):
            raise pixels
        return pixels

    async def sample(self, name: str, number: int) -> bytes:
        """Return the PNG file of a model's sample image."""
        details = self.found(name)
        wanted = details.name, details.version
        file = await asyncio.to_thread(self._follower.catalogue.sample, wanted, number)
        if file is None:
            there = f"{details.name}@{details.version} has {details.samples} sample images"
            raise Refusal(404, f"There is no sample image {number}: {there}, counted from 0.")
        return file

    async def ready(self) -> bool:
        """Return whether predictions and explanations would be answered now."""
        is_able = self._follower.has_started and not self.is_stuck
        return is_able and await self._explaining.ready()

    async def refresh(self) -> dict[str, Any]:
        """Look up the aliases now; return what changed: ``switched`` and ``failed``."""
        return await asyncio.to_thread(self._follower.look)

    async def status(self) -> dict[str, Any]:
        """Return what is loaded, what waits, and how canary and shadow do, in this process."""
        table = self._follower.table
        waiting = {"predictions": self._predictions.inside}
        if self._own is not None:
            waiting["explanations"] = self._own.inside
        return {
            "answering": {
                slot: f"{name}@{number}" for slot, (name, number) in table.slots.items()
            },
            "loaded": self._worker.loaded(),
            "waiting": waiting,
            "canary": self._service.canary and self._service.canary.model_dump(),
            "shadow": self._shadowing.counts() if self._service.shadow else None,
            "failed": dict(self._follower.failures),
        }

    def _previewed(self, _key: Key, images: Sequence[Upload]) -> list[Pixels | Exception]:
        return [self._worker.preview(image) for image in images]

    def _chosen(self, text: str, image: Upload) -> tuple[Key, bool]:
        """Return which version answers, and whether it does so as the canary.

        A request that names a version or an alias gets it.
        """
        key = self._follower.found(text)
        share, canary = self._service.canary, self._follower.table.slots.get("canary")
        if "@" in text or share is None or canary is None or canary[0] != key[0]:
            return key, False
        is_canary = _is_in(share.percent, fingerprint(image)[:8])
        return (canary if is_canary else key), is_canary

    def _loading(self, key: Key) -> Callable[[], Any] | None:
        """Return what loads a version that is not loaded, outside the line of those that are."""
        if self._worker.has(key):
            return None

        async def load() -> None:
            try:
                await asyncio.to_thread(self._worker.warm, key)
            except KdrayError as error:
                raise not_loaded(key, error) from error

        return load

    async def _against(self, details: Details, against: str | None) -> str | None:
        """Return whom to compare with as ``name@number``; only teachers and served names.

        Raises:
            Refusal: It has no teacher, or another model has its place (422), or there is no such
                model (404).
        """
        if against is None:
            return None
        if against != "teacher":
            name, number = self._follower.found(against)
            return f"{name}@{number}"
        if details.teacher is None:
            problem = f"{details.name}@{details.version} has no teacher in the registry."
            raise Refusal(422, f"{problem} {_OTHERS}")
        teacher = await self._read(parsed(details.teacher))
        known = details.lineage["teacher"].get("sha256", teacher.weights_sha256)
        if teacher.weights_sha256 != known:  # such as in a registry put together from two
            problem = f"{details.teacher} of this registry is not what {details.name}@"
            problem += f"{details.version} was taught by: its weights are others."
            raise Refusal(422, f"{problem} {_OTHERS}")
        return details.teacher

    async def _read(self, key: Key) -> Details:
        known = self._follower.table.details.get(key)
        if known is not None:
            return known
        try:
            return await asyncio.to_thread(self._follower.details, key)
        except KdrayError as error:
            raise not_loaded(key, error) from error

    def _tell(
        self,
        caller: Caller,
        details: Details,
        route: Literal["predict", "explain"],
        images: Sequence[Upload],
        answer: tuple[list[Predicted], Explained | None],
        how: tuple[float, bool],
    ) -> None:
        if not self._told:
            return
        started, is_canary = how
        answered = Answered(
            caller=caller,
            key=(details.name, details.version),
            classes=tuple(details.classes),
            weights_sha256=details.weights_sha256,
            route=route,
            images=tuple(images),
            predicted=tuple(answer[0]),
            explained=answer[1],
            seconds=time.perf_counter() - started,
            is_canary=is_canary,
            when=time.time(),
        )
        for tell in self._told:
            tell(answered)

    def _ask_shadow(
        self, text: str, key: Key, images: Sequence[Upload], predicted: Sequence[Predicted]
    ) -> None:
        share, shadow = self._service.shadow, self._follower.table.slots.get("shadow")
        if share is None or shadow is None or "@" in text or shadow[0] != key[0]:
            return
        if shadow != key and _is_in(share.percent, predicted[0].sha256[8:16]):
            self._shadowing.ask(shadow, images, predicted)


def _batches(service: Service) -> Bounds:
    return replace(
        _one_by_one(service),
        # One decodes while another computes: two are worth it where there is one processor too.
        threads=max(2, int(service.cpus_per_replica)),
        max_size=service.batching.max_size,
        wait_ms=service.batching.wait_ms,
    )


def _one_by_one(service: Service) -> Bounds:
    limits = service.limits
    return Bounds(requests=limits.max_queued_requests, seconds=limits.predict_seconds)


def _is_in(percent: float, digits: str) -> bool:
    """Return whether the image of a hash belongs to a share: always the same for an image."""
    return int(digits, 16) % _PARTS < percent * _PARTS / 100


def _check_number(images: Sequence[Upload], most: int) -> None:
    if not images:
        raise Refusal(422, "The request has no image.")
    if len(images) > most:
        raise Refusal(413, f"The request has {len(images)} images; at most {most} are allowed.")


def _usable(answer: Predicted | Exception, place: int, images: Sequence[Upload]) -> Predicted:
    """Return an answer; of several images, the error says which one it is about."""
    if not isinstance(answer, Exception):
        return answer
    if isinstance(answer, Refusal) and len(images) > 1:
        name = f" ({images[place].name})" if images[place].name else ""
        which = f"Image {place + 1} of {len(images)}{name}: {answer.detail}"
        raise Refusal(answer.status, which, answer.headers)
    raise answer
