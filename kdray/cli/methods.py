"""``kdray methods``: how students can learn."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kdray import parts
from kdray.cli._output import Json, console, print_json
from kdray.cli._parts import facts, print_part, print_parts

Name = Annotated[str | None, typer.Argument(help="Show all about this method.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def methods(name: Name = None, as_json: Json = False) -> None:
        """List the methods: equations, settings, limits, what a search tries, what nets need."""
        found = [_facts(one) for one in ([name] if name else parts.names("distill"))]
        if as_json:
            print_json(found)
            return
        if not name:
            print_parts("Methods (`methods:` of a job)", found)
            return
        print_part(found[0])
        console.print(f"Paper: {found[0]['paper']}", markup=False, highlight=False)
        console.print(f"Equations: {found[0]['equations']}", markup=False, highlight=False)
        for key, whose in (("needs", "the teacher"), ("needs_of_student", "the student")):
            wanted = "; ".join(found[0][key]) or "nothing"
            console.print(f"Needs of {whose}: {wanted}", markup=False, highlight=False)


def _facts(name: str) -> dict[str, Any]:
    found = facts("distill", name)
    constants = parts.header("distill", name).constants
    return {
        "name": name,
        "title": found["title"],
        "description": found["description"],
        "paper": constants["PAPER"],
        "equations": constants["EQUATIONS"],
        "needs": list(constants["NEEDS"]),
        "needs_of_student": list(constants.get("STUDENT_NEEDS", ())),
        "settings": found["settings"],
    }
