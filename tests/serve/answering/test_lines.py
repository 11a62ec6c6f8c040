"""Queues: batches without waiting, limits of number and time, nothing done for nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from kdray_serve.answering.lines import Bounds, Line
from kdray_serve.meter import LineName, Silent
from kdray_serve.refusal import Refusal
from kdray_serve.work import Key

A, B = ("a", 1), ("b", 1)


class Runner:
    """Doubles numbers; keeps the batches, and stops before each until it may go on."""

    def __init__(self) -> None:
        self.batches: list[tuple[Key, list[int]]] = []
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Semaphore(0)

    def __call__(self, key: Key, works: Sequence[int]) -> list[int | Exception]:
        self.batches.append((key, list(works)))
        self.begun.release()
        assert self.go.wait(20)
        return [ValueError("odd one out") if work < 0 else 2 * work for work in works]


class Counting(Silent):
    def __init__(self) -> None:
        self.refusals: list[int] = []
        self.longest = 0

    def queue(self, line: LineName, requests: int) -> None:
        self.longest = max(self.longest, requests)

    def refused(self, line: LineName, status: int) -> None:
        self.refusals.append(status)


@asynccontextmanager
async def line_of(runner: Runner, **bounds: float) -> AsyncIterator[Line[int, int]]:
    line: Line[int, int] = Line("predictions", runner, Bounds(**bounds))  # type: ignore[arg-type]
    try:
        yield line
    finally:
        runner.go.set()
        await asyncio.to_thread(line.close)


async def begun(runner: Runner) -> None:
    """Wait until a batch has begun."""
    assert await asyncio.to_thread(runner.begun.acquire, True, 20)


async def settled() -> None:
    """Let what was started come to where it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_answers_come_in_the_order_of_the_works() -> None:
    async def main() -> None:
        async with line_of(Runner(), max_size=2) as line:
            assert await line.ask(A, [1, 2, 3, 4, 5]) == [2, 4, 6, 8, 10]

    asyncio.run(main())


def test_a_lone_work_is_a_batch_of_its_own() -> None:
    async def main() -> None:
        runner = Runner()
        async with line_of(runner, max_size=8) as line:
            await line.ask(A, [1])
            await line.ask(A, [2])
        assert runner.batches == [(A, [1]), (A, [2])]

    asyncio.run(main())


def test_what_arrives_while_the_model_is_busy_is_put_together() -> None:
    async def main() -> None:
        runner = Runner()
        async with line_of(runner, max_size=3) as line:
            runner.go.clear()
            asked = [asyncio.create_task(line.ask(A, [0]))]
            await begun(runner)
            asked += [asyncio.create_task(line.ask(A, [number])) for number in (1, 2, 3, 4)]
            await settled()
            runner.go.set()
            assert await asyncio.gather(*asked) == [[0], [2], [4], [6], [8]]
        assert runner.batches == [(A, [0]), (A, [1, 2, 3]), (A, [4])]

    asyncio.run(main())


def test_a_batch_is_of_one_model_and_models_take_turns() -> None:
    async def main() -> None:
        runner = Runner()
        async with line_of(runner, max_size=2) as line:
            runner.go.clear()
            asked = [asyncio.create_task(line.ask(A, [0]))]
            await begun(runner)
            asked += [
                asyncio.create_task(line.ask(A, [1, 2, 3])),
                asyncio.create_task(line.ask(B, [4])),
            ]
            await settled()
            runner.go.set()
            await asyncio.gather(*asked)
        assert runner.batches == [(A, [0]), (A, [1, 2]), (B, [4]), (A, [3])]

    asyncio.run(main())


def test_free_threads_share_what_waits() -> None:
    async def main() -> None:
        runner = Runner()
        async with line_of(runner, max_size=8, threads=2) as line:
            runner.go.clear()
            asked = asyncio.create_task(line.ask(A, [1, 2, 3, 4]))
            await begun(runner)
            await begun(runner)  # two batches run at once
            runner.go.set()
            assert await asked == [2, 4, 6, 8]
        assert sorted(len(works) for _, works in runner.batches) == [2, 2]

    asyncio.run(main())


def test_one_works_error_is_its_own_answer() -> None:
    async def main() -> None:
        async with line_of(Runner(), max_size=4) as line:
            first, error, last = await line.ask(A, [1, -1, 3])
            assert (first, last) == (2, 6)
            assert isinstance(error, ValueError)

    asyncio.run(main())


def test_a_failed_batch_is_told_to_all_of_it_and_the_thread_lives_on() -> None:
    async def main() -> None:
        calls = []

        def run(_key: Key, works: Sequence[int]) -> list[int | Exception]:
            calls.append(works)
            if len(calls) == 1:
                raise MemoryError
            return list(works)

        line: Line[int, int] = Line("predictions", run, Bounds(max_size=2))
        answers = await line.ask(A, [1, 2])
        assert all(isinstance(answer, MemoryError) for answer in answers)
        assert await line.ask(A, [3]) == [3]
        await asyncio.to_thread(line.close)

    asyncio.run(main())


def test_more_than_may_wait_are_refused_and_told_when_to_come_back() -> None:
    async def main() -> None:
        runner, meter = Runner(), Counting()
        runner.go.clear()
        line: Line[int, int] = Line("predictions", runner, Bounds(requests=2), meter)
        asked = [asyncio.create_task(line.ask(A, [number])) for number in (1, 2)]
        await settled()
        with pytest.raises(Refusal) as found:
            await line.ask(A, [3])
        assert found.value.status == 503
        assert found.value.headers == {"Retry-After": "1"}
        runner.go.set()
        assert await asyncio.gather(*asked) == [[2], [4]]
        assert await line.ask(A, [3]) == [6]
        assert (line.inside, meter.longest, meter.refusals) == (0, 2, [503])
        await asyncio.to_thread(line.close)

    asyncio.run(main())


def test_what_takes_too_long_is_refused_and_what_waited_is_never_begun() -> None:
    async def main() -> None:
        runner = Runner()
        async with line_of(runner, seconds=0.05) as line:
            runner.go.clear()
            results = await asyncio.gather(
                line.ask(A, [1]), line.ask(A, [2]), return_exceptions=True
            )
            assert [result.status for result in results if isinstance(result, Refusal)] == [
                504
            ] * 2
            runner.go.set()
        assert runner.batches == [(A, [1])]

    asyncio.run(main())


def test_a_client_that_goes_away_takes_its_works_along() -> None:
    async def main() -> None:
        runner = Runner()
        async with line_of(runner) as line:
            runner.go.clear()
            first = asyncio.create_task(line.ask(A, [1]))
            await begun(runner)
            gone = asyncio.create_task(line.ask(A, [2]))
            await settled()
            gone.cancel()
            await settled()
            assert line.inside == 1
            runner.go.set()
            assert await first == [2]
            assert await line.ask(A, [3]) == [6]
        assert [works for _, works in runner.batches] == [[1], [3]]

    asyncio.run(main())


def test_what_comes_before_the_queue_counts_within_its_limits() -> None:
    async def main() -> None:
        async def never() -> None:
            await asyncio.Event().wait()

        async with line_of(Runner(), seconds=0.02) as line:
            with pytest.raises(Refusal) as found:
                await line.ask(A, [1], never)
            assert found.value.status == 504

    asyncio.run(main())


def test_the_first_of_a_batch_waits_for_others_where_that_is_wanted() -> None:
    async def main() -> None:
        runner = Runner()
        async with line_of(runner, max_size=2, wait_ms=20_000) as line:
            first = asyncio.create_task(line.ask(A, [1]))
            await settled()
            second = asyncio.create_task(line.ask(A, [2]))
            assert await asyncio.gather(first, second) == [[2], [4]]
        assert runner.batches == [(A, [1, 2])]

    asyncio.run(main())


def test_a_hundred_requests_at_once_are_all_answered() -> None:
    async def main() -> None:
        async with line_of(Runner(), requests=200, max_size=8, threads=3) as line:
            keys = [A, B]
            asked = [line.ask(keys[n % 2], [n, -n - 1]) for n in range(100)]
            for number, answers in enumerate(await asyncio.gather(*asked)):
                assert answers[0] == 2 * number
                assert isinstance(answers[1], ValueError)

    asyncio.run(main())


def test_a_line_whose_threads_never_come_back_is_stuck_and_can_be_closed() -> None:
    async def main() -> None:
        runner = Runner()
        async with line_of(runner, threads=2, seconds=0.01) as line:
            runner.go.clear()
            for key in (A, B):
                assert not line.is_stuck
                with pytest.raises(Refusal):
                    await line.ask(key, [1])
                await begun(runner)
            while not line.is_stuck:
                await asyncio.sleep(0.01)
            line.close(seconds=0)

    asyncio.run(main())


def test_a_line_that_works_or_waits_is_not_stuck() -> None:
    async def main() -> None:
        runner = Runner()
        async with line_of(runner, seconds=60) as line:
            assert not line.is_stuck
            runner.go.clear()
            asked = asyncio.create_task(line.ask(A, [1]))
            await begun(runner)
            assert not line.is_stuck
            runner.go.set()
            assert await asked == [2]

    asyncio.run(main())
