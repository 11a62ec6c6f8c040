"""A whole search on Ray: with records, with teachers in the loop, again, on more workers."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdray.bench._asking import asking_s
from kdray.bench._events import Events, between_s, rate, searching_s, spent_s, training_s, trials
from kdray.bench._memory import Watch
from kdray.bench._room import Room, workers_environment
from kdray.bench._table import Row
from kdray.bench._timing import spread
from kdray.bench.scaling import FEW, MANY
from kdray.run.journal import Journal
from kdray.run.tell import Teller
from kdray.spec import Experiment
from kdray.store import Store

BAR, BAR_TUNE_S, BAR_MEMORY = 0.35, 0.5, 1.2
#: CPUs of all searches: a larger machine would record on all of them, and search on two.
CPUS = 2


@dataclass(frozen=True)
class Size:
    """How large the searches are.

    Args:
        teachers: Names of `kdray models`, much heavier than the students.
        students: Two of these.
        image_size: Height and width, pixels.
        batch_size: Images of a step.
        images: Drawn scans; 70 % are trained on.
        epochs: Of a trial; each shows views of its own.
        trials: Of each of the four arms.
        few: Of each arm where only the number of workers matters.
    """

    teachers: tuple[str, str] = ("vgg19", "resnet101")
    students: tuple[str, str] = ("mobilenetv3_small", "shufflenet_v2_x0_5")
    image_size: int = 64
    batch_size: int = 16
    images: int = 368
    epochs: int = 4
    trials: int = 8
    few: int = 2


QUICK = Size(("cnn5", "cnn5_small"), ("cnn5_72px", "cnn5_100px"), 32, 16, 64, 2, 2, 1)


@dataclass(frozen=True)
class Search:
    """One search of the benchmark.

    Args:
        name: Name of its job.
        trials: Of each arm.
        concurrent: Trials at once.
        cpus: CPUs of each.
        mode: ``record`` or ``live``.
        seed: Of the sampler: another one is another search.
    """

    name: str
    trials: int
    concurrent: int
    cpus: float = 1.0
    mode: str = "record"
    seed: int = 0


@dataclass(frozen=True)
class Seen:
    """What a search did.

    Args:
        events: Its job's events.
        memory: Most bytes of data set and records that its trials held together.
        teacher_images: Images that the teachers were shown in steps that it did itself.
    """

    events: Events
    memory: int
    teacher_images: int


def search(
    size: Size, tell: Callable[[str], None] = lambda text: None
) -> tuple[list[Row], dict[str, float]]:
    """Return what searches cost, and what the model of scaling takes of it.

    Args:
        size: How large they are.
        tell: Told what comes next.
    """
    searches = (
        Search("with-records", size.trials, concurrent=2),
        Search("teachers-in-the-loop", size.trials, concurrent=2, mode="live"),
        Search("again", size.few, concurrent=2, seed=1),
        Search("one-worker", size.few, concurrent=1, seed=2),
        Search("four-workers", size.few, concurrent=4, cpus=0.5, seed=3),
    )
    with (
        tempfile.TemporaryDirectory(prefix="kdray-bench-") as folder,
        Room(workers_environment(), threads=1) as room,
    ):
        room.call(begin)
        seen: list[Seen] = []
        for one in searches:
            tell(f"{one.name}: {4 * one.trials} trials, {one.concurrent} at once")
            seen.append(room.call(perform, job(folder, size, one)))
        room.call(leave)
        tell(f"the driver: trials after {FEW} and after {MANY} others")
        asked = {count: room.call(asking_s, count) for count in (FEW, MANY)}
    found = [*rows(size, *seen), *(_asking(count, asked[count]) for count in (FEW, MANY))]
    few, many = (statistics.median(asked[count]) for count in (FEW, MANY))
    return found, {**inputs(size, seen[0], seen[3]), "ask_few_s": few, "ask_many_s": many}


def job(folder: str, size: Size, search: Search) -> Experiment:
    """Return the job of a search: drawn images, 2 teachers x 2 students, dfkd."""
    rate_space = {"min": 1e-4, "max": 1e-2, "log": True}
    train = {"batch_size": size.batch_size, "optimizer": "adam"}
    return Experiment.model_validate(
        {
            "apiVersion": "kdray/v1",
            "kind": "Experiment",
            "name": search.name,
            "data": {
                "source": {"name": "phantom", "params": {"num_images": size.images}},
                "image_size": size.image_size,
                "duplicates": {"check": "none"},
            },
            "teachers": [{"id": name.replace("_", "-"), "model": name} for name in size.teachers],
            "students": [{"id": name.replace("_", "-"), "model": name} for name in size.students],
            "methods": ["dfkd"],
            "train": {
                "teacher": {"epochs": 1, "learning_rate": 1e-4, **train},
                "student": {"epochs": 1, **train},
            },
            "knowledge": {"mode": search.mode, "views": None},
            "search": {
                "trials": search.trials,
                "epochs": size.epochs,
                "scheduler": "none",
                "learning_rate": rate_space,
                "concurrent": search.concurrent,
                "seed": search.seed,
            },
            "resources": {"cpus_per_worker": search.cpus},
            "storage": {"uri": f"{folder}/runs"},
        }
    )


#: The Ray session of a process.
_SESSION = ExitStack()


def begin() -> None:
    """Start or join a Ray session, for all searches of this process."""
    from kdray.run.environment import prepare_environment

    prepare_environment()  # before Ray is imported
    from kdray.run.session import session

    _SESSION.enter_context(session(CPUS))


def leave() -> None:
    """End the session."""
    _SESSION.close()


def perform(job: Experiment) -> Seen:
    """Run a job to the end of its search, and return what was seen of it."""
    from kdray.run.job import plan_job
    from kdray.run.stages import perform_search

    events: list[dict[str, Any]] = []
    plan, store = plan_job(job), Store(job.storage.uri)
    with Watch(Path(job.storage.uri)) as watch:

        def listen(event: dict[str, Any]) -> None:
            events.append(dict(event))
            if event["kind"] == "run_started" and str(event["step"]).startswith("search/"):
                watch.add(event["pid"])

        with Journal(store, job.name, [listen]) as journal:
            journal.event("job_started", steps=[])
            perform_search(plan, store, Teller(journal, plan.steps()))
    begun = [e["step"] for e in events if e["kind"] == "step_started"]
    recorded = [step for step in begun if step.startswith("record/")]
    shown = sum(store.finished(f"steps/{step}")["teacher_images"] for step in recorded)
    return Seen(events, watch.most, shown)


def rows(size: Size, recorded: Seen, live: Seen, again: Seen, one: Seen, four: Seen) -> list[Row]:
    """Return what the searches tell.

    Args:
        size: How large they are.
        recorded: The search with records, two trials at once.
        live: The same with the teachers in the loop.
        again: Another one over the same teachers and views.
        one: One trial at a time.
        four: Four trials at once.
    """
    return [
        _against_live(size, recorded, live),
        Row(
            "images that a second search shows the teachers",
            spread([again.teacher_images]),
            "images",
            bar=0,
        ),
        _between_trials([recorded, live, again, one]),
        _memory(one, four),
        *_rates(one, recorded, four),
    ]


def inputs(size: Size, recorded: Seen, one: Seen) -> dict[str, float]:
    """Return what the model of scaling takes of the searches, by its names."""
    two, alone = trials(recorded.events), trials(one.events)
    return {
        "trial_s": training_s(alone),
        "between_s": statistics.mean(between_s([*two, *alone])),
        "start_s": _start_s(recorded.events),
        "rate_1": rate(alone),
        "rate_2": rate(two),
        "record_s": spent_s(recorded.events, "record"),
        "record_images": float(recorded.teacher_images),
        "record_workers": float(CPUS),
        "trial_images": float(size.epochs * recorded.teacher_images / _passes(size)),
    }


def _asking(count: int, seconds: Sequence[float]) -> Row:
    what = f"the driver's own work for a trial of 10 epochs, after {count} others"
    return Row(what, spread(seconds), "s")


def _passes(size: Size) -> int:
    """Return how often each image is shown to a teacher: one view an epoch, each teacher."""
    return size.epochs * len(size.teachers)


def _against_live(size: Size, recorded: Seen, live: Seen) -> Row:
    ours, theirs = searching_s(recorded.events), searching_s(live.events)
    parts = {
        "with records": ours,
        "of it recording": spent_s(recorded.events, "record"),
        "in the loop": theirs,
    }
    pairs = f"{', '.join(size.teachers)} x {', '.join(size.students)}"
    sizes = f"{size.images} images of {size.image_size} px, {size.epochs} epochs a trial"
    return Row(
        f"search of {4 * size.trials} trials, recording included / teachers in the loop",
        spread([ours / theirs]),
        bar=BAR,
        parts={name: spread([seconds]) for name, seconds in parts.items()},
        note=f"dfkd, {pairs}; {sizes}; two at once",
    )


def _between_trials(searches: Sequence[Seen]) -> Row:
    found = [each for seen in searches for each in between_s(trials(seen.events))]
    what = "between two trials of a worker: Tune, Optuna, the driver"
    return Row(what, spread(found), "s", bar=BAR_TUNE_S, note="a mean of each worker")


def _memory(one: Seen, four: Seen) -> Row:
    parts = {"1 trial": one.memory, "4 trials": four.memory}
    what = "data set and records in memory: 4 trials at once / 1"
    if not one.memory:
        note = "not seen: trials were too short, or this system has no /proc/PID/smaps"
        return Row(what, spread([0.0]), note=note)
    return Row(
        what,
        spread([four.memory / one.memory]),
        bar=BAR_MEMORY,
        parts={name: spread([held / 1e6]) for name, held in parts.items()},
        parts_unit="MB",
    )


def _rates(one: Seen, two: Seen, four: Seen) -> list[Row]:
    found = {
        f"{name}": 3600 * rate(trials(seen.events))
        for name, seen in (("1", one), ("2", two), ("4 of half a CPU", four))
    }
    speedup = found["2"] / found["1"]
    return [
        Row(
            "trials an hour: 2 workers / 1",
            spread([speedup]),
            parts={f"{name} workers": spread([each]) for name, each in found.items()},
            parts_unit="trials/h",
        )
    ]


def _start_s(events: Events) -> float:
    """Return the seconds from the begin of the search to its first trial at work."""
    own = [event for event in events if str(event.get("step", "")).startswith("search/")]
    begun = next(event["time"] for event in own if event["kind"] == "step_started")
    first = next(event["time"] for event in own if event["kind"] == "run_started")
    return float(first - begun)
