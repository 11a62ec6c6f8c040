"""The desk: which version answers, who is asked besides, and who is told."""

from __future__ import annotations

import asyncio
import math
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdray.registry import Registry
from kdray.spec.service import Batching, Canary, Limits, Service, Shadow
from kdray_serve.answering.counter import ServiceDesk, make_worker
from kdray_serve.answering.intake import take
from kdray_serve.desk import Desk
from kdray_serve.meter import Answered, Outcome, Silent
from kdray_serve.refusal import Refusal
from kdray_serve.work import Caller, Explained, Key, Predicted, Upload, Wish

Make = Callable[..., Service]


@asynccontextmanager
async def open_desk(service: Service, **options: Any) -> AsyncIterator[ServiceDesk]:
    desk = ServiceDesk(service, **options)
    await desk.start()
    try:
        yield desk
    finally:
        await desk.close()


async def refused(asked: Any, status: int) -> str:
    with pytest.raises(Refusal) as found:
        await asked
    assert found.value.status == status, found.value.detail
    return found.value.detail


class Told:
    """Keeps what the desk tells."""

    def __init__(self) -> None:
        self.answers: list[Answered] = []

    def __call__(self, answered: Answered) -> None:
        self.answers.append(answered)


class Compared(Silent):
    """Keeps how the shadow did; several may be waited for."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[Key, Outcome, float]] = []
        self.more = threading.Semaphore(0)

    def shadowed(self, key: Key, outcome: Outcome, difference: float) -> None:
        self.outcomes.append((key, outcome, difference))
        self.more.release()

    async def wait(self, count: int) -> None:
        for _ in range(count):
            assert await asyncio.to_thread(self.more.acquire, True, 20)


def test_the_desk_is_what_the_routes_expect(service: Make) -> None:
    async def main() -> None:
        async with open_desk(service()) as desk:
            taken: Desk = desk
            assert await taken.ready()

    asyncio.run(main())


def test_it_is_not_ready_before_its_models_are_loaded(service: Make) -> None:
    async def main() -> None:
        desk = ServiceDesk(service())
        assert not await desk.ready()
        await desk.start()
        assert await desk.ready()
        await desk.close()

    asyncio.run(main())


def test_answers_come_with_the_version_that_gave_them(
    service: Make, caller: Caller, uploads: list[Upload]
) -> None:
    async def main() -> None:
        async with open_desk(service()) as desk:
            details, answers = await desk.predict(caller, "brain", uploads[:3])
            assert (details.name, details.version) == ("brain", 2)
            expected = [take(upload, 10**6).sha256 for upload in uploads[:3]]
            assert [answer.sha256 for answer in answers] == expected
            details, answers = await desk.predict(caller, "brain@1", uploads[:1])
            assert details.version == 1
            assert desk.found("brain@champion").version == 2
            assert [model.version for model in desk.models()] == [2]

    asyncio.run(main())


def test_of_several_images_the_bad_one_is_named(
    service: Make, caller: Caller, uploads: list[Upload]
) -> None:
    async def main() -> None:
        async with open_desk(service()) as desk:
            images = [uploads[0], Upload(b"", "empty.png"), uploads[1]]
            detail = await refused(desk.predict(caller, "brain", images), 422)
            assert "Image 2 of 3 (empty.png)" in detail
            assert "empty." in await refused(desk.predict(caller, "brain", [images[1]]), 422)

    asyncio.run(main())


def test_no_image_and_too_many_are_refused(
    service: Make, caller: Caller, uploads: list[Upload]
) -> None:
    async def main() -> None:
        async with open_desk(service(limits=Limits(max_images=2))) as desk:
            await refused(desk.predict(caller, "brain", []), 422)
            detail = await refused(desk.predict(caller, "brain", uploads[:3]), 413)
            assert "at most 2" in detail

    asyncio.run(main())


def test_a_share_of_the_images_is_answered_by_the_canary(service: Make, caller: Caller) -> None:
    dice = np.random.default_rng(0)
    images = [Upload(dice.integers(0, 256, (8, 8), np.uint8)) for _ in range(1000)]

    async def main() -> None:
        spec = service(canary=Canary(version="3", percent=20), batching=Batching(max_size=64))
        async with open_desk(spec) as desk:
            asked = [desk.predict(caller, "brain", [image]) for image in images[:60]]
            versions = [details.version for details, _ in await asyncio.gather(*asked)]
            again = [desk.predict(caller, "brain", [image]) for image in images[:60]]
            assert [details.version for details, _ in await asyncio.gather(*again)] == versions
            assert set(versions) == {2, 3}
            chosen = [desk._chosen("brain", image) for image in images]
        share = sum(is_canary for _, is_canary in chosen) / len(chosen)
        spread = math.sqrt(0.2 * 0.8 / len(chosen))
        assert abs(share - 0.2) < 4 * spread
        assert all((key == ("brain", 3)) == is_canary for key, is_canary in chosen)

    asyncio.run(main())


@pytest.mark.parametrize(("percent", "version"), [(0, 2), (100, 3)])
def test_none_and_all_are_shares_too(
    service: Make, caller: Caller, uploads: list[Upload], percent: float, version: int
) -> None:
    async def main() -> None:
        async with open_desk(service(canary=Canary(version="3", percent=percent))) as desk:
            for upload in uploads[:5]:
                details, _ = await desk.predict(caller, "brain", [upload])
                assert details.version == version
                details, _ = await desk.explain(caller, "brain", upload, Wish())
                assert details.version == version

    asyncio.run(main())


def test_who_names_a_version_gets_it_whatever_the_canary(
    service: Make, caller: Caller, uploads: list[Upload]
) -> None:
    async def main() -> None:
        async with open_desk(service(canary=Canary(version="3", percent=100))) as desk:
            for name in ("brain@2", "brain@champion"):
                details, _ = await desk.predict(caller, name, uploads[:1])
                assert details.version == 2

    asyncio.run(main())


def test_the_shadow_is_compared_and_counted_but_never_returned(
    service: Make, caller: Caller, uploads: list[Upload]
) -> None:
    async def main() -> None:
        meter = Compared()
        async with open_desk(service(shadow=Shadow(version="1")), meter=meter) as desk:
            expected = 0
            for upload in uploads[:6]:
                details, [answer] = await desk.predict(caller, "brain", [upload])
                assert details.version == 2
                _, [other] = await desk.predict(caller, "brain@1", [upload])
                expected += answer.place == other.place
            await meter.wait(6)
            counts = (await desk.status())["shadow"]["brain@1"]
        assert (counts["same"], counts["different"]) == (expected, 6 - expected)
        assert counts["largest_difference"] == max(found[2] for found in meter.outcomes)
        assert {found[0] for found in meter.outcomes} == {("brain", 1)}

    asyncio.run(main())


def test_the_shadow_is_left_out_where_it_cannot_keep_up(
    service: Make, caller: Caller, uploads: list[Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        meter, go = Compared(), threading.Event()
        spec = service(shadow=Shadow(version="1"))
        worker = make_worker(spec)
        predict = worker.predict

        def slow(key: Key, images: Sequence[Upload]) -> list[Predicted | Exception]:
            if key == ("brain", 1):
                assert go.wait(20)
            return predict(key, images)

        monkeypatch.setattr(worker, "predict", slow)
        monkeypatch.setattr("kdray_serve.answering.shadow.WAITING", 2)
        async with open_desk(spec, worker=worker, meter=meter) as desk:
            for upload in uploads[:8]:
                await desk.predict(caller, "brain", [upload])
            assert [outcome for _, outcome, _ in meter.outcomes].count("dropped") >= 5
            go.set()
            await meter.wait(8)

    asyncio.run(main())


def test_a_service_ends_though_its_shadow_does_not(
    service: Make, caller: Caller, uploads: list[Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    go, begun = threading.Event(), threading.Event()

    async def main() -> None:
        spec = service(shadow=Shadow(version="1"))
        worker = make_worker(spec)
        predict = worker.predict

        def stuck(key: Key, images: Sequence[Upload]) -> list[Predicted | Exception]:
            if key == ("brain", 1):
                begun.set()
                assert go.wait(60)
            return predict(key, images)

        monkeypatch.setattr(worker, "predict", stuck)
        monkeypatch.setattr("kdray_serve.answering.shadow.WAITING", 2)
        monkeypatch.setattr("kdray_serve.answering.shadow._END_SECONDS", 0.01)
        async with open_desk(spec, worker=worker) as desk:
            for upload in uploads[:4]:
                await desk.predict(caller, "brain", [upload])
            assert await asyncio.to_thread(begun.wait, 20)

    asyncio.run(main())
    go.set()


def test_a_service_that_does_not_come_to_an_end_with_an_image_is_not_ready(
    service: Make, caller: Caller, uploads: list[Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    async def main() -> None:
        spec = service(limits=Limits(predict_seconds=0.1))
        worker = make_worker(spec)
        predict = worker.predict

        def stuck(key: Key, images: Sequence[Upload]) -> list[Predicted | Exception]:
            assert go.wait(60)
            return predict(key, images)

        monkeypatch.setattr(worker, "predict", stuck)
        async with open_desk(spec, worker=worker) as desk:
            assert await desk.ready()
            async with asyncio.timeout(30):
                while await desk.ready():  # until each thread has its image
                    await refused(desk.predict(caller, "brain", uploads[:1]), 504)
            go.set()

    asyncio.run(main())


def test_the_shadow_holds_few_bytes_of_images(
    service: Make, caller: Caller, uploads: list[Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        meter, go = Compared(), threading.Event()
        spec = service(shadow=Shadow(version="1"))
        worker = make_worker(spec)
        predict = worker.predict
        monkeypatch.setattr("kdray_serve.answering.shadow.HELD", 1)

        def slow(key: Key, images: Sequence[Upload]) -> list[Predicted | Exception]:
            assert key != ("brain", 1) or go.wait(20)
            return predict(key, images)

        monkeypatch.setattr(worker, "predict", slow)
        async with open_desk(spec, worker=worker, meter=meter) as desk:
            for upload in uploads[:3]:
                await desk.predict(caller, "brain", [upload])
            assert [outcome for _, outcome, _ in meter.outcomes] == ["dropped"] * 2
            go.set()
            await meter.wait(3)
        assert meter.outcomes[2][1] in ("same", "different")

    asyncio.run(main())


def test_a_version_switch_under_load_fails_no_request(
    service: Make, registry: Registry, caller: Caller, uploads: list[Upload]
) -> None:
    async def main() -> None:
        async with open_desk(service(limits=Limits(max_queued_requests=100))) as desk:
            expected: dict[int, list[Predicted]] = {}
            for version in (1, 2, 3):
                _, expected[version] = await desk.predict(caller, f"brain@{version}", uploads[:16])
            versions: list[int] = []
            done = asyncio.Event()

            async def client(number: int) -> None:
                while not done.is_set():
                    place = number % 16
                    details, [answer] = await desk.predict(caller, "brain", [uploads[place]])
                    versions.append(details.version)
                    wanted = expected[details.version][place].logits
                    np.testing.assert_allclose(answer.logits, wanted, atol=1e-4)

            clients = [asyncio.create_task(client(number)) for number in range(8)]
            for version in (3, 1, 2, 3):
                registry.promote("brain", version)
                changes = await desk.refresh()
                assert [change["to"] for change in changes["switched"]] == [version]
                seen = len(versions)
                while len(versions) < seen + 20:
                    await asyncio.sleep(0)
            done.set()
            await asyncio.gather(*clients)
        assert set(versions) == {1, 2, 3}
        assert versions[-1] == 3

    asyncio.run(main())


def test_aliases_are_looked_up_without_being_asked(
    service: Make, registry: Registry, caller: Caller
) -> None:
    async def main() -> None:
        switched = threading.Event()

        class Meter(Silent):
            def switched(self, key: Key) -> None:
                switched.set()

        async with open_desk(service(refresh_seconds=0.01), meter=Meter()) as desk:
            registry.promote("brain", 3)
            assert await asyncio.to_thread(switched.wait, 20)
            while desk.found("brain").version != 3:
                await asyncio.sleep(0)

    asyncio.run(main())


def test_a_damaged_version_is_a_refusal_and_the_others_answer_on(
    service: Make, damaged: Callable[[int], None], caller: Caller, uploads: list[Upload]
) -> None:
    async def main() -> None:
        async with open_desk(service()) as desk:
            damaged(1)
            await refused(desk.predict(caller, "brain@1", uploads[:1]), 503)
            wish = Wish(against="brain@1")
            await refused(desk.explain(caller, "brain", uploads[0], wish), 503)
            details, _ = await desk.predict(caller, "brain", uploads[:1])
            assert details.version == 2

    asyncio.run(main())


def test_a_damaged_new_champion_leaves_the_old_one_answering(
    service: Make,
    registry: Registry,
    damaged: Callable[[int], None],
    caller: Caller,
    uploads: list[Upload],
) -> None:
    async def main() -> None:
        async with open_desk(service()) as desk:
            damaged(3)
            registry.promote("brain", 3)
            changes = await desk.refresh()
            assert changes["switched"] == []
            assert "damaged" in (await desk.status())["failed"]["brain@champion"]
            details, _ = await desk.predict(caller, "brain", uploads[:1])
            assert details.version == 2

    asyncio.run(main())


def test_all_who_want_to_know_are_told_of_each_answer(
    service: Make, registry: Registry, caller: Caller, uploads: list[Upload]
) -> None:
    async def main() -> None:
        told = Told()
        spec = service(canary=Canary(version="3", percent=100))
        async with open_desk(spec, told=(told,)) as desk:
            _, answers = await desk.predict(caller, "brain", uploads[:2])
            _, explained = await desk.explain(caller, "brain@2", uploads[0], Wish())
        first, second = told.answers
        assert (first.route, first.key, first.is_canary) == ("predict", ("brain", 3), True)
        assert first.predicted == tuple(answers)
        assert first.images == tuple(uploads[:2])
        assert first.caller is caller
        assert (second.route, second.key, second.is_canary) == ("explain", ("brain", 2), False)
        assert second.explained is explained
        assert second.predicted == (explained.predicted,)
        weights = registry.describe("brain", 2)["weights"]["sha256"]
        assert second.weights_sha256 == weights
        assert second.classes == ("glioma", "meningioma", "no tumor")
        assert second.seconds > 0

    asyncio.run(main())


def test_a_refused_request_is_told_to_nobody(service: Make, caller: Caller) -> None:
    async def main() -> None:
        told = Told()
        async with open_desk(service(), told=(told,)) as desk:
            await refused(desk.predict(caller, "brain", [Upload(b"")]), 422)
        assert told.answers == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("against", "model"), [("teacher", ("teacher.t", 1)), ("brain@3", ("brain", 3))]
)
def test_a_model_is_compared_with_its_teacher_or_another_version(
    service: Make, caller: Caller, uploads: list[Upload], against: str, model: Key
) -> None:
    async def main() -> None:
        async with open_desk(service()) as desk:
            _, found = await desk.explain(caller, "brain", uploads[0], Wish(against=against))
        assert found.beside is not None
        assert found.beside.model == model

    asyncio.run(main())


def test_another_model_in_the_teachers_place_is_not_shown_as_the_teacher(
    service: Make, registry: Registry, caller: Caller, uploads: list[Upload]
) -> None:
    place = Path(registry.uri)
    shutil.rmtree(place / "teacher.t" / "versions" / "1")
    shutil.copytree(place / "brain" / "versions" / "3", place / "teacher.t" / "versions" / "1")

    async def main() -> None:
        async with open_desk(service()) as desk:
            wish = Wish(against="teacher")
            detail = await refused(desk.explain(caller, "brain", uploads[0], wish), 422)
        assert "teacher.t@1" in detail
        assert "brain@2 was taught by" in detail

    asyncio.run(main())


def test_models_that_are_not_served_cannot_be_compared_with_by_name(
    service: Make, caller: Caller, uploads: list[Upload]
) -> None:
    async def main() -> None:
        async with open_desk(service()) as desk:
            for name in ("teacher.t@1", "heart"):
                wish = Wish(against=name)
                await refused(desk.explain(caller, "brain", uploads[0], wish), 404)

    asyncio.run(main())


def test_explanations_may_be_made_elsewhere(
    service: Make, caller: Caller, uploads: list[Upload]
) -> None:
    class Elsewhere:
        def __init__(self) -> None:
            self.asked: list[tuple[Key, Wish]] = []

        async def explain(self, key: Key, image: Upload, wish: Wish) -> Explained:
            self.asked.append((key, wish))
            raise Refusal(503, "busy")

        async def ready(self) -> bool:
            return False

    async def main() -> None:
        elsewhere = Elsewhere()
        async with open_desk(service(), explaining=elsewhere) as desk:
            assert not await desk.ready()
            await refused(desk.explain(caller, "brain", uploads[0], Wish(against="teacher")), 503)
        assert elsewhere.asked == [(("brain", 2), Wish(against="teacher.t@1"))]

    asyncio.run(main())


def test_a_preview_has_the_images_own_pixels(service: Make, uploads: list[Upload]) -> None:
    async def main() -> None:
        async with open_desk(service()) as desk:
            pixels = await desk.preview(uploads[0])
            np.testing.assert_array_equal(pixels, take(uploads[0], 10**6).pixels)
            await refused(desk.preview(Upload(b"no image")), 415)

    asyncio.run(main())


def test_samples_are_files_of_the_package(service: Make) -> None:
    async def main() -> None:
        async with open_desk(service()) as desk:
            assert (await desk.sample("brain", 0)).startswith(b"\x89PNG")
            for number in (1, -1):
                assert "1 sample" in await refused(desk.sample("brain", number), 404)

    asyncio.run(main())


def test_the_status_tells_what_is_loaded_and_what_waits(service: Make) -> None:
    async def main() -> None:
        async with open_desk(service()) as desk:
            status = await desk.status()
        [loaded] = status["loaded"]
        assert (loaded["name"], loaded["version"]) == ("brain", 2)
        assert loaded["bytes"] > 0
        assert status["waiting"] == {"predictions": 0, "explanations": 0}
        assert status["answering"] == {"models.0": "brain@2"}

    asyncio.run(main())
