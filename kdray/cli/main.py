"""The ``kdray`` command: finds the verbs in its folder and turns errors into exit codes."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperGroup

import kdray.cli as verbs
from kdray import __version__
from kdray.cli._output import err
from kdray.errors import KdrayError

#: Panels of ``kdray --help`` with their verbs, in the order of a day's work. A verb that is not
#: named here stands in the last panel.
PANELS = {
    "Job": ("validate", "plan", "run", "submit", "jobs", "status", "logs", "stop", "render"),
    "Results": ("results", "report", "dashboard", "explain", "registry", "knowledge"),
    "Serve": ("serve", "keys", "audit", "feedback"),
    "Parts": ("data", "models", "methods", "explainers"),
    "System": ("doctor", "schema", "bench"),
}


class _Verbs(TyperGroup):
    """The verbs in the order and the panels of ``PANELS``, wherever they were registered."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        panels = {verb: panel for panel, names in PANELS.items() for verb in names}
        order = {verb: place for place, verb in enumerate(panels)}
        self.commands = {
            name: self.commands[name]
            for name in sorted(self.commands, key=lambda name: (order.get(name, 99), name))
        }
        for name, command in self.commands.items():
            command.rich_help_panel = panels.get(name, list(PANELS)[-1])  # type: ignore[attr-defined]


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"kdray {__version__}")
        raise typer.Exit


def build() -> typer.Typer:
    """Return the command-line application with every verb of the folder."""
    app = typer.Typer(
        name="kdray",
        cls=_Verbs,
        help="Explainable knowledge distillation on Ray: one job spec from images to a served, "
        "explained student.",
        epilog="Start with `kdray run jobs/quickstart.yaml`. Exit codes: 0 done, 1 failed, "
        "2 wrong job file or usage, 130 stopped.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def root(
        version: bool = typer.Option(
            False, "--version", callback=_version, is_eager=True, help="Show the version."
        ),
    ) -> None:
        """Hold the options that stand before the verb."""

    for name in _modules():
        importlib.import_module(f"kdray.cli.{name}").register(app)
    return app


def main() -> None:
    """Run the command line; exit 0, 1 (failed), 2 (wrong spec or usage) or 130 (stopped)."""
    try:
        # Its name, or it would call itself after the file in `python -m kdray.cli.main`.
        build()(prog_name="kdray")
    except KdrayError as error:
        err(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _modules() -> Iterable[str]:
    names = (info.name for info in pkgutil.iter_modules(verbs.__path__))
    return [name for name in names if name != "main" and not name.startswith("_")]


if __name__ == "__main__":
    main()
