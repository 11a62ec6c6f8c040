"""``kdray feedback``: what users said of a service's answers, and how often it was right."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer

from kdray.cli._output import Json, console, print_json, print_table
from kdray.cli._services import ServiceName, StorageUri, clock_time, find_service
from kdray.served import audit
from kdray.served.feedback import Judged, Standing, judge, read, standings


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def feedback(service: ServiceName, storage: StorageUri = None, as_json: Json = False) -> None:
        """Show the right labels that users sent, beside what was answered: accuracy by version."""
        store, name = find_service(service, storage)
        judged = judge(read(store, name), audit.answers(store, name))
        found = standings(judged)
        if as_json:
            print_json(
                {"versions": [_facts(one) for one in found], "feedback": list(map(_row, judged))}
            )
        elif judged:
            _tables(judged, found)
        else:
            console.print(f"Nobody has sent feedback to {name!r} yet.", highlight=False)


def _tables(judged: list[Judged], found: list[Standing]) -> None:
    columns = ("when (UTC)", "who", "request", "model", "label", "answered", "right")
    words = {True: "yes", False: "no", None: "-"}
    rows = [
        (
            clock_time(one.feedback.when),
            one.feedback.who,
            one.feedback.request_id,
            f"{one.model}@{one.version}" if one.model else "-",
            one.feedback.label,
            one.predicted or "-",
            words[one.is_right],
        )
        for one in judged
    ]
    print_table("", columns, rows)
    shares = [
        (
            one.model,
            f"{one.accuracy:.3f}",
            f"{one.low:.3f} .. {one.high:.3f}",
            one.right,
            one.total,
        )
        for one in found
    ]
    print_table("", ("version", "accuracy", "95 % interval", "right", "of"), shares)
    console.print("Of the answers that got feedback: users rarely judge a random choice of them.")


def _facts(one: Standing) -> dict[str, Any]:
    return {**asdict(one), "accuracy": one.accuracy, "interval": "Wilson 95 %"}


def _row(one: Judged) -> dict[str, Any]:
    answered = {"model": one.model, "version": one.version, "predicted": one.predicted}
    return {**asdict(one.feedback), **answered, "right": one.is_right}
