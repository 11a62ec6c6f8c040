"""What the driver of a search computes for a trial: choosing it, and closing it."""

from __future__ import annotations

from kdray.bench._timing import seconds_of
from kdray.run.study import Study
from kdray.run.trials import Record, SearchArm
from kdray.spec.experiment import Method, Search
from kdray.spec.space import Space

_EPOCHS = 10
_SPACES = {
    "alpha": Space(min=0.1, max=0.9),
    "T": Space(min=1.0, max=10.0, log=True),
    "learning_rate": Space(min=1e-4, max=1e-2, log=True),
}


def asking_s(earlier: int, times: int = 5) -> list[float]:
    """Return the seconds to choose, follow and close a trial after so many earlier ones.

    The study is that of a job with four arms and the default sampler and scheduler.

    Args:
        earlier: Trials that are finished.
        times: Measurements.
    """
    drawn = _study(Search(trials=earlier, sampler="random"))
    for _ in range(earlier):
        _trial(drawn)
    study = _study(Search(trials=earlier + times, min_trials=1))
    study.restore(drawn.records.values())
    return [seconds_of(lambda: _trial(study)) for _ in range(times)]


def _study(search: Search) -> Study:
    arms = [
        SearchArm(
            slug=f"student-{index}",
            label=f"student-{index} <- teacher (kd)",
            student=f"student-{index}",
            teacher="teacher",
            method=Method(name="kd"),
            spaces=_SPACES,
            defaults={},
            trials=search.trials,
        )
        for index in range(4)
    ]
    return Study(arms, search, "macro_f1", _EPOCHS)


def _trial(study: Study) -> Record:
    """Go through a trial whose scores grow with its learning rate; return its record."""
    record = study.ask()
    if record is None:
        raise RuntimeError("the study is over")
    for epoch in range(1, _EPOCHS + 1):
        if study.report(record.number, epoch, epoch * float(record.params["learning_rate"])):
            return study.tell(record.number, "pruned")
    return study.tell(record.number, "complete")
