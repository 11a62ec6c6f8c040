"""``kdray audit``: what a service has answered, and whether its log is whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from kdray.cli._output import Json, console, err, print_json, print_table
from kdray.cli._services import ServiceName, StorageUri, clock_time, find_service
from kdray.served.audit import Chain, answers, verify

Heads = Annotated[
    list[str] | None,
    typer.Option(
        "--head", help="With --verify: a hash noted earlier, which the log must hold; repeatable."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def audit(  # noqa: PLR0913 - one argument for each option
        service: ServiceName,
        checked: Annotated[
            bool, typer.Option("--verify", help="Check the hashes of all lines.")
        ] = False,
        head: Heads = None,
        request: Annotated[
            str | None, typer.Option("--request", help="Only answers of this request id.")
        ] = None,
        last: Annotated[
            int, typer.Option("--last", min=0, help="So many of the latest answers; 0: all.")
        ] = 20,
        storage: StorageUri = None,
        as_json: Json = False,
    ) -> None:
        """Show what a service has answered to whom; `--verify` checks that no line was changed."""
        store, name = find_service(service, storage)
        if checked:
            raise typer.Exit(_verified(verify(store, name), head or (), as_json=as_json))
        found = answers(store, name)
        if request is not None:
            found = [line for line in found if line.get("request_id") == request]
        _show(found[-last:] if last else found, len(found), as_json=as_json)


def _show(found: list[dict[str, Any]], total: int, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    columns = ("when (UTC)", "who", "request", "route", "model", "image", "answer", "probability")
    print_table("", columns, [_row(line) for line in found])
    if total > len(found):
        console.print(f"The latest {len(found)} of {total} answers; --last 0 shows all.")


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    answer = line["answer"]
    asked = (clock_time(line["when"]), line["who"], line["request_id"], line["route"])
    model = f"{line['model']}@{line['version']}"
    said = (answer["class"], f"{answer['probability']:.3f}")
    return (*asked, model, line["image_sha256"][:12], *said)


def _verified(chains: Sequence[Chain], heads: Sequence[str], *, as_json: bool) -> int:
    """Print what is wrong with the log; return the exit code."""
    lost = [head for head in heads if not any(head in chain.hashes for chain in chains)]
    problems = [problem for chain in chains for problem in chain.problems]
    problems += [f"The line of hash {head} is not in the log any more." for head in lost]
    if as_json:
        facts = [
            {key: value for key, value in asdict(chain).items() if key != "hashes"}
            for chain in chains
        ]
        print_json({"whole": not problems, "chains": facts, "problems": problems})
    else:
        rows = [
            (chain.name, chain.lines, "closed" if chain.is_closed else "open", chain.head)
            for chain in chains
        ]
        print_table("", ("process", "lines", "state", "hash of the last line"), rows)
        if problems:
            err("\n".join(problems))
        else:
            console.print("All lines are as they were written.")
    return 1 if problems else 0
