"""``kdray validate``: is a job file, or a target, right, and if not, where."""

from __future__ import annotations

from typing import Any

import typer

from kdray.cli._output import Json, Sets, SpecFile, console, print_json
from kdray.errors import JobError, JobErrors, KdrayError
from kdray.plan import read_job
from kdray.spec import Suite, is_target, load_target


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def validate(spec: SpecFile, sets: Sets = None, as_json: Json = False) -> None:
        """Check a job or target file: every field, name and setting; exit 2 if any is wrong."""
        try:
            job = read_job(spec, sets) if sets or not is_target(spec) else load_target(spec)
        except JobError as error:
            if not as_json:
                raise
            print_json({"valid": False, "errors": [_facts(item) for item in _problems(error)]})
            raise typer.Exit(error.exit_code) from None
        if as_json:
            print_json({"valid": True, "kind": job.kind, "name": job.name, "errors": []})
        else:
            of = f" of {len(job.experiments)} experiments" if isinstance(job, Suite) else ""
            console.print(f"valid: {job.kind} {job.name}{of}", markup=False, highlight=False)


def _problems(error: JobError) -> tuple[KdrayError, ...]:
    return error.problems if isinstance(error, JobErrors) else (error,)


def _facts(error: KdrayError) -> dict[str, Any]:
    """Return a problem with its place, line and column being null where there are none."""
    file, *numbers = error.where.rsplit(":", 2)
    found = len(numbers) == 2 and all(number.isdigit() for number in numbers)
    return {
        "where": error.where,
        "file": file if found else None,
        "line": int(numbers[0]) if found else None,
        "column": int(numbers[1]) if found else None,
        "problem": error.problem,
        "remedy": error.remedy,
    }
