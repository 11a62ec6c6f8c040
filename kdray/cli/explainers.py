"""``kdray explainers``: how an answer can be explained."""

from __future__ import annotations

from typing import Annotated

import typer

from kdray import parts
from kdray.cli._output import Json, print_json
from kdray.cli._parts import facts, print_part, print_parts

Name = Annotated[str | None, typer.Argument(help="Show all about this explainer.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def explainers(name: Name = None, as_json: Json = False) -> None:
        """List the explanations with their settings."""
        found = [facts("explain", one) for one in ([name] if name else parts.names("explain"))]
        if as_json:
            print_json(found)
        elif name:
            print_part(found[0])
        else:
            print_parts("Explainers (`explain.methods` of a job)", found)
