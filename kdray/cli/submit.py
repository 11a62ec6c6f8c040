"""``kdray submit``: run a job in the background, here or on a cluster."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape

from kdray.cli._jobs import To
from kdray.cli._output import Json, Sets, SpecFile, console, err, print_json
from kdray.cli._waiting import await_end
from kdray.launch.found import Found
from kdray.launch.order import make_order
from kdray.launch.place import Order
from kdray.launch.sending import Submission, exit_code, send
from kdray.launch.targets import find_target
from kdray.spec import Target, parse_job
from kdray.spec.target import Local


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def submit(
        spec: SpecFile,
        sets: Sets = None,
        to: To = None,
        wait: Annotated[
            bool,
            typer.Option(
                "--wait", help="Follow it to its end; exit 0 only if it finished, 130 if stopped."
            ),
        ] = False,
        new: Annotated[
            bool, typer.Option("--new", help="Send it even if the same job runs already.")
        ] = False,
        as_json: Json = False,
    ) -> None:
        """Run a job in the background, here or on a cluster; one that runs already is left alone.

        It lives on when the terminal closes. A job that has ended goes on from what its storage
        holds. `kdray submit jobs/quickstart.yaml --to http://head:8265 --wait`
        """
        target = find_target(to)
        order = make_order(spec, sets, target)
        _check_fit(order, target)
        submission = send(order, target, new)
        if not as_json:
            console.print(escape(_told(submission, order, to)), highlight=False)
        ended = await_end(submission, quiet=as_json) if wait else None
        if as_json:
            print_json(_facts(submission, order, ended))
        if ended is not None:
            _leave(ended)


def _check_fit(order: Order, target: Target) -> None:
    """Refuse what a cluster could never give; on this machine the driver does."""
    if not isinstance(target.place, Local):
        from kdray.launch.fit import check_fit  # imports Ray

        check_fit(parse_job(order.spec, order.file, env={}), target)


def _leave(ended: Found) -> None:
    """Say how a job ended, and exit as it did."""
    code = exit_code(ended.state, ended.seen)
    is_serving = ended.state == "running"
    if code and not is_serving:
        err(f"{ended.job}: {ended.state}. {ended.reason}".rstrip())
        raise typer.Exit(code)


def _told(submission: Submission, order: Order, to: str | None) -> str:
    """Return what was sent where, and how to go on."""
    sent, seen = submission.sent, submission.sent.seen
    lines = [_first(submission), *(f"  {note}" for note in sent.notes)]
    if seen.reason and seen.state != "finished":
        lines.append(f"  {seen.reason}")
    where = _options(submission.found, order, to)
    lines += [
        f"  follow it: kdray logs -f {order.job}{where}",
        f"  its steps: kdray status {order.job}{where}",
        f"  end it:    kdray stop {order.job}{where}",
    ]
    if not submission.found.is_here:
        lines.append(f"  results:   {order.storage.partition('?')[0]}")
    return "\n".join([*lines, *([f"  log:       {seen.log}"] if seen.log else [])])


def _first(submission: Submission) -> str:
    sent, seen = submission.sent, submission.sent.seen
    who = f" as process {seen.process}" if submission.found.is_here else f" as {seen.id}"
    at = "" if submission.found.is_here else f" at {submission.found.where}"
    if seen.state == "finished":
        return f"{seen.job} is finished{at}."
    if sent.attached:
        return f"{seen.job} is already {seen.state}{who}{at}; nothing was {_DONE[not at]}."
    return f"{seen.job} is {seen.state}{who}{at}."


_DONE = {True: "started", False: "sent"}


def _options(found: Found, order: Order, to: str | None) -> str:
    """Return the options by which the other verbs find the job."""
    if not found.is_here:
        return f" --to {shlex.quote(to)}" if to else ""
    return "" if order.storage == "runs" else f" --storage {shlex.quote(order.storage)}"


def _facts(submission: Submission, order: Order, ended: Found | None) -> dict[str, Any]:
    sent, seen = submission.sent, submission.sent.seen
    facts = {**asdict(seen), "attached": sent.attached, "notes": list(sent.notes)}
    facts["storage"] = order.storage
    if submission.found.is_here:
        facts["pid"] = int(seen.process)
    if ended is not None:
        facts["end"] = {"state": ended.state, "error": ended.reason}
    return facts
