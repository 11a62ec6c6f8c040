"""The ``kdray`` command: finds the verbs in its folder and turns errors into exit codes."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import click
import typer

import kdray.cli as verbs
from kdray import __version__
from kdray.cli._output import err
from kdray.errors import JobError, KdrayError


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"kdray {__version__}")
        raise typer.Exit


def build() -> typer.Typer:
    """Return the command-line application with every verb of the folder."""
    app = typer.Typer(
        name="kdray",
        help="Explainable knowledge distillation on Ray: one job spec from images to a served, "
        "explained student.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def root(
        version: bool = typer.Option(
            False, "--version", callback=_version, is_eager=True, help="Show the version."
        ),
    ) -> None:
        """Hold the options that stand before the verb."""

    for info in pkgutil.iter_modules(verbs.__path__):
        if info.name != "main" and not info.name.startswith("_"):
            importlib.import_module(f"kdray.cli.{info.name}").register(app)
    return app


def main() -> None:
    """Run the command line; exit 0, 1 (failed), 2 (wrong spec or usage) or 130 (stopped)."""
    try:
        code = build()(standalone_mode=False)
    except JobError as error:
        err(str(error))
        code = error.exit_code
    except KdrayError as error:
        err(str(error))
        code = error.exit_code
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    sys.exit(code if isinstance(code, int) else 0)
