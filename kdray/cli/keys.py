"""``kdray keys``: who may ask a service."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from kdray.cli._output import Json, console, print_json, print_table
from kdray.errors import JobError
from kdray.spec.keys import ROLES, ApiKey, change_keys, make_key, read_keys

KeyFile = Annotated[Path, typer.Option("--file", metavar="FILE", help="The file of the hashes.")]
KeyName = Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    verbs = typer.Typer(no_args_is_help=True, help="API keys of `kdray serve`, kept as hashes.")
    verbs.command("add")(add)
    verbs.command("list")(list_keys)
    verbs.command("revoke")(revoke)
    app.add_typer(verbs, name="keys")


def add(
    name: KeyName,
    roles: Annotated[
        list[str],
        typer.Option(
            "--role", help="predict, explain (holds predict) or admin (holds all); repeatable."
        ),
    ],
    file: KeyFile = Path("keys.yaml"),
    expires: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The last day on which it is taken (UTC)."),
    ] = None,
    json: Json = False,
) -> None:
    """Make a key, and show it: this once, for only its hash is kept."""
    secret, kept = _made(name, roles, expires.date() if expires else None)

    def added(keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        if any(key.name == name for key in keys):
            remedy = f"Revoke it first: kdray keys revoke {name!r} --file {file}."
            raise JobError(str(file), f"there is a key {name!r} already.", remedy)
        return (*keys, kept)

    change_keys(file, added)
    if json:
        print_json({"key": secret, **_facts(kept)})
        return
    console.print(f"The key of {name} ({', '.join(kept.roles)}); it is not shown again:")
    typer.echo(secret)
    console.print(f"Its hash is in {file}. A running service takes it from now on.")


def list_keys(file: KeyFile = Path("keys.yaml"), json: Json = False) -> None:
    """List the keys of a file."""
    keys = read_keys(file)
    if json:
        print_json([_facts(key) for key in keys])
    elif not keys:
        console.print(f"There are no keys in {file}.")
    else:
        rows = [
            (key.name, ", ".join(key.roles), key.created or "", _end(key), key.sha256[:12])
            for key in keys
        ]
        print_table(f"Keys in {file}", ("name", "roles", "made", "ends", "SHA-256"), rows)


def revoke(name: KeyName, file: KeyFile = Path("keys.yaml")) -> None:
    """Take a key back; a running service refuses it from now on."""

    def rest(keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        kept = tuple(key for key in keys if key.name != name)
        if len(kept) == len(keys):
            names = ", ".join(key.name for key in keys) or "none"
            raise JobError(str(file), f"there is no key {name!r}.", f"There are: {names}.")
        return kept

    change_keys(file, rest)
    console.print(f"The key of {name} is revoked.")


def _made(name: str, roles: list[str], expires: date | None) -> tuple[str, ApiKey]:
    known = [role for role in ROLES if role in roles]
    strange = [role for role in roles if role not in ROLES]
    if strange:
        raise JobError("--role", f"there is no role {strange[0]!r}.", "predict, explain or admin.")
    if expires is not None and expires < datetime.now(UTC).date():
        raise JobError("--expires", f"{expires} is over.", "Choose a day to come.")
    try:
        return make_key(name, known, expires)
    except ValueError:
        problem = f"{name!r} is no name of a key."
        raise JobError(
            "NAME", problem, "Use at most 64 letters, digits, spaces and . _ @ -."
        ) from None


def _facts(key: ApiKey) -> dict[str, object]:
    return {
        "name": key.name,
        "roles": list(key.roles),
        "sha256": key.sha256,
        "created": key.created and key.created.isoformat(),
        "expires": key.expires and key.expires.isoformat(),
        "is_over": key.is_over(),
    }


def _end(key: ApiKey) -> str:
    if key.expires is None:
        return "never"
    return f"{key.expires} (over)" if key.is_over() else str(key.expires)
