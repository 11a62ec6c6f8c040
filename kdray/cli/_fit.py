"""What a job asks of a target, stage by stage, for ``kdray plan --to``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kdray.cli._output import print_table
from kdray.launch.fit import StageFit, sized
from kdray.spec.target import Target


def show_fits(fits: Sequence[StageFit], target: Target) -> None:
    """Print what each stage asks for at once, which nodes that brings up, and what waits."""
    columns = ("stage", "asks for at once", "brings up", "at the same time", "note")
    rows = [(fit.stage, _asked(fit), _launched(fit), _running(fit), fit.note) for fit in fits]
    noted = any(fit.note for fit in fits)
    width = len(columns) if noted else len(columns) - 1
    print_table(f"On {target.name}", columns[:width], [row[:width] for row in rows])


def fit_facts(fits: Sequence[StageFit], target: Target) -> dict[str, Any]:
    """Return the same for programs."""
    stages = [
        {
            "stage": fit.stage,
            "what": fit.what,
            "count": fit.count,
            "cpus": fit.cpus,
            "gpus": fit.gpus,
            "together": fit.together,
            "runs": fit.runs,
            "waits": fit.waits,
            "launched": dict(fit.launched),
            "note": fit.note,
        }
        for fit in fits
    ]
    return {"name": target.name, "kind": target.place.kind, "stages": stages}


def _asked(fit: StageFit) -> str:
    what = fit.what if fit.count == 1 else f"{fit.what}{'es' if fit.what[-1] == 's' else 's'}"
    together = ", together" if fit.together and fit.count > 1 else ""
    return f"{fit.count} {what} of {sized(fit.cpus, fit.gpus)}{together}"


def _launched(fit: StageFit) -> str:
    return ", ".join(f"{count} x {name}" for name, count in fit.launched) or "-"


def _running(fit: StageFit) -> str:
    return f"{fit.runs}, {fit.waits} wait" if fit.waits else str(fit.runs)
