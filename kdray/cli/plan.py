"""``kdray plan``: what a job will do, and what is done already."""

from __future__ import annotations

from typing import Any

import typer

from kdray.cli._output import Json, Sets, SpecFile, console, print_json, print_table
from kdray.cli._records import show_records
from kdray.plan import Plan, Step, experiments_of, read_work
from kdray.spec import Suite
from kdray.store import Store


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def plan(spec: SpecFile, sets: Sets = None, as_json: Json = False) -> None:
        """Show the steps of a job: what is done, what will run, how large it is."""
        job = read_work(spec, sets)
        from kdray.run.job import plan_jobs  # imports torch

        plans = plan_jobs(experiments_of(job))
        if as_json:
            shown = [_whole(made) for made in plans]
            print_json({"suite": job.name, "jobs": shown} if isinstance(job, Suite) else shown[0])
            return
        for made in plans:
            _show(made)


def _whole(plan: Plan) -> dict[str, Any]:
    from kdray.run.forecast import forecast
    from kdray.run.job import states

    store = Store(plan.job.storage.uri)
    records = forecast(plan, store)
    return {
        "job": plan.job.name,
        "storage": store.uri,
        "steps": [
            {**_facts(step, state, store), **records.get(step.id, {})}
            for step, state in states(plan, store)
        ],
        "totals": _totals(plan, store),
    }


def _show(plan: Plan) -> None:
    from kdray.run.forecast import forecast
    from kdray.run.job import states

    store = Store(plan.job.storage.uri)
    rows = states(plan, store)
    table = [(step.kind, step.label, _size(step), state, step.key) for step, state in rows]
    print_table(f"Job {plan.job.name}", ("step", "what", "size", "state", "key"), table)
    show_records(forecast(plan, store))
    totals = _totals(plan, store)
    console.print(
        f"{totals['done']} of {totals['steps']} steps done. Left: {totals['epochs']} epochs"
        f"{_images(totals)}. Storage: {store.uri}",
        highlight=False,
    )


def _facts(step: Step, state: str, store: Store) -> dict[str, Any]:
    return {
        "id": step.id,
        "kind": step.kind,
        "label": step.label,
        "key": step.key,
        "state": state,
        "needs": list(step.needs),
        "path": f"{store.uri}/{step.path}",
        **step.facts,
    }


def _size(step: Step) -> str:
    return ", ".join(
        f"{name} {'+'.join(value) if isinstance(value, list) else value}".replace("_", " ")
        for name, value in step.facts.items()
    )


def _totals(plan: Plan, store: Store) -> dict[str, Any]:
    """Return how much is left: steps, and at most so many epochs and images."""
    missing = [step for step in plan.steps() if store.result(step.path) is None]
    epochs = sum(
        int(step.facts.get("epochs", 0)) * int(step.facts.get("trials", 1)) for step in missing
    )
    prepared = store.result(plan.prepare.path)
    images = sum(prepared["counts"]["train"].values()) if prepared else None
    return {
        "steps": len(plan.steps()),
        "done": len(plan.steps()) - len(missing),
        "epochs": epochs,
        "train_images": images,
    }


def _images(totals: dict[str, Any]) -> str:
    if totals["train_images"] is None:
        return " at most"
    return f" of {totals['train_images']} images at most"
