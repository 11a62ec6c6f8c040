"""What a training step costs: learning from a teacher, against the student alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

from kdray.bench import _plain, _taught
from kdray.bench._images import Images, drawn
from kdray.bench._plain import Setting
from kdray.bench._room import Room, default_environment, workers_environment
from kdray.bench._table import Row
from kdray.bench._taught import Lesson
from kdray.bench._timing import Effort, Times, alternate_for, ratios, spread
from kdray.learn import Batch, Teacher
from kdray.net import Net, Wants

#: A step may cost so much of what it is compared with.
BAR, BAR_ALONE = 1.05, 0.8
Step = Callable[[], object]
ALONE = Lesson("none")


@dataclass(frozen=True)
class Case:
    """A student with what it learns by.

    Args:
        kind: The comparison; one of ``KINDS``.
        student: A name of `kdray models`.
        teacher: Another; empty for a student alone.
        lesson: The method.
    """

    kind: str
    student: str
    teacher: str = ""
    lesson: Lesson = ALONE

    @property
    def pair(self) -> str:
        """What people call it."""
        if not self.teacher:
            return self.student
        return f"{self.teacher} -> {self.student} ({self.lesson.method})"


_PAIRS = (
    ("vgg19", "ofa_595", "fbce_mse"),
    ("vgg19", "mobilenetv3_small", "fbce_mse"),
    ("resnet101", "ghostnet_100", "kd"),
    ("deit_base", "shufflenet_v2_x0_5", "kd"),
)
_HDKD = ("hdkd", "hdkd_teacher", Lesson("hdkd"))
CASES = (
    *(Case("recorded", student, teacher, Lesson(name)) for teacher, student, name in _PAIRS),
    *(Case("dfkd", student, teacher, Lesson("dfkd")) for teacher, student, _ in _PAIRS),
    Case("hdkd-live", *_HDKD),
    Case("hdkd-recorded", *_HDKD),
    Case("alone", "mobilenetv3_small"),
    Case("alone", "hdkd"),
)
KINDS = tuple(dict.fromkeys(case.kind for case in CASES))


def step(
    setting: Setting,
    effort: Effort,
    cases: Sequence[Case] = CASES,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Row]:
    """Return what the steps of students cost.

    Args:
        setting: Sizes.
        effort: How long each row is measured.
        cases: What is measured.
        tell: Told what comes next.
    """
    rows: list[Row] = []
    with (
        Room(workers_environment(), setting.threads) as ours,
        Room(default_environment(), setting.threads) as plain,
    ):
        for case in cases:
            tell(f"{case.kind}: {case.pair}")
            with tempfile.TemporaryDirectory(prefix="kdray-bench-") as folder:
                measure = _Measure(case, setting, effort, Path(folder), ours, plain)
                rows += _ROWS[case.kind](measure)
    return rows


def chosen(only: Sequence[str], pairs: Sequence[str]) -> list[Case]:
    """Return the cases of some kinds and some pairs; nothing given means all.

    Args:
        only: Kinds.
        pairs: Parts of what pairs are called, such as a student's name.
    """
    return [
        case
        for case in CASES
        if (not only or case.kind in only)
        and (not pairs or any(name in case.pair for name in pairs))
    ]


def recorded_variants(case: Case, setting: Setting, folder: Path) -> dict[str, Step]:
    """Return kdray's step with records, with reading besides and live; and the plain step."""
    images = drawn(folder / "images", setting)
    student, teacher = (_net(name, images, setting) for name in (case.student, case.teacher))
    made = _taught.recorded(folder, case.lesson, student, teacher, images)
    held = images.in_memory()
    return {
        "recorded": _ours(case, made, images, setting, cycle(held).__next__),
        "with reading": _ours(case, made, images, setting, images.next_batch()),
        "live": _ours(case, _taught.live(teacher), images, setting, cycle(held).__next__),
        "plain": _plain_step(case, images, setting),
    }


def live_variants(case: Case, setting: Setting, folder: Path) -> dict[str, Step]:
    """Return kdray's live step, and what it is made of in plain PyTorch."""
    images = drawn(folder / "images", setting)
    teacher = _net(case.teacher, images, setting)
    held = images.in_memory()
    return {
        "live": _ours(case, _taught.live(teacher), images, setting, cycle(held).__next__),
        "teacher forward": _plain.forward(teacher, Wants(), held),
        "student step": _plain_step(case, images, setting),
    }


def kdray_variants(case: Case, setting: Setting, folder: Path) -> dict[str, Step]:
    """Return kdray's step of a student alone."""
    images = drawn(folder / "images", setting)
    batches = cycle(images.in_memory())
    return {"kdray": _ours(case, None, images, setting, batches.__next__)}


def default_variants(case: Case, setting: Setting, folder: Path) -> dict[str, Step]:
    """Return the step of a student alone in a plain loop, everything by default."""
    images = drawn(folder / "images", setting)
    student = _net(case.student, images, setting)
    batches = [replace(batch, images=batch.images.contiguous()) for batch in images.in_memory()]
    loss = _plain.labels_alone(student)
    return {"plain": _plain.step(student, _plain.adam(student), loss, batches)}


@dataclass(frozen=True)
class _Measure:
    """A case with all that its measurement takes.

    Args:
        case: The case.
        setting: Sizes.
        effort: How long.
        folder: An empty folder.
        ours: A process with the allocator of kdray's workers.
        plain: One with the default allocator.
    """

    case: Case
    setting: Setting
    effort: Effort
    folder: Path
    ours: Room
    plain: Room


def _recorded_rows(measure: _Measure) -> list[Row]:
    case, effort = measure.case, measure.effort
    built = measure.ours.build(recorded_variants, case, measure.setting, measure.folder)
    times = alternate_for({name: built[name] for name in ("recorded", "plain")}, effort)
    others = {name: built[name] for name in ("with reading", "live", "plain")}
    few = alternate_for(others, Effort(effort.seconds / 3, least=3, most=11), warm_up=1)
    alone = "student alone, its map too" if case.kind == "dfkd" else "student alone"
    return [
        _row(f"{case.pair}: records / {alone}", times, "recorded", ("plain",), BAR),
        _row(f"{case.pair}: records and reading / {alone}", few, "with reading", ("plain",)),
        _row(f"{case.pair}: teacher in the loop / {alone}", few, "live", ("plain",)),
    ]


def _live_rows(measure: _Measure) -> list[Row]:
    case = measure.case
    built = measure.ours.build(live_variants, case, measure.setting, measure.folder)
    times = alternate_for(built, measure.effort)
    parts = ("teacher forward", "student step")
    what = f"{case.pair}: teacher in the loop"
    return [
        _row(f"{what} / teacher forward + student step", times, "live", parts, BAR),
        _row(f"{what} / student step", times, "live", ("student step",)),
    ]


def _alone_rows(measure: _Measure) -> list[Row]:
    case, setting = measure.case, measure.setting
    folders = [measure.folder / name for name in ("kdray", "plain")]
    for folder in folders:
        folder.mkdir()
    built = {
        **measure.ours.build(kdray_variants, case, setting, folders[0]),
        **measure.plain.build(default_variants, case, setting, folders[1]),
    }
    times = alternate_for(built, measure.effort)
    what = f"{case.pair} alone: kdray / plain PyTorch by default"
    return [_row(what, times, "kdray", ("plain",), BAR_ALONE)]


_ROWS: Mapping[str, Callable[[_Measure], list[Row]]] = {
    "recorded": _recorded_rows,
    "dfkd": _recorded_rows,
    "hdkd-live": _live_rows,
    "hdkd-recorded": _recorded_rows,
    "alone": _alone_rows,
}


def _row(
    what: str, times: Times, ours: str, theirs: Sequence[str], bar: float | None = None
) -> Row:
    parts = {name: spread(times[name]) for name in (ours, *theirs)}
    return Row(what, spread(ratios(times, [ours], theirs)), bar=bar, parts=parts)


def _net(name: str, images: Images, setting: Setting) -> Net:
    return _plain.model(name, images.classes, setting)


def _ours(
    case: Case,
    teacher: Teacher | None,
    images: Images,
    setting: Setting,
    next_batch: Callable[[], Batch],
) -> Step:
    student = _net(case.student, images, setting)
    objective = _taught.taught(case.lesson, student, teacher, images)
    return _taught.step(student, objective, next_batch)


def _plain_step(case: Case, images: Images, setting: Setting) -> Step:
    """Return the student's plain step with the settings of kdray's: optimizer and memory order."""
    student = _net(case.student, images, setting)
    loss = _plain.with_own_map if case.kind == "dfkd" else _plain.labels_alone
    optimizer = _taught.plain_optimizer(student)
    return _plain.step(student, optimizer, loss(student), images.in_memory())
