"""``kdray dashboard``: a job's search in optuna-dashboard."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from kdray.cli._jobs import JobOrSpec, StorageUri, find_job
from kdray.cli._output import console
from kdray.errors import JobError
from kdray.store import Store


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def dashboard(
        job: JobOrSpec,
        storage: StorageUri = None,
        port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8080,
    ) -> None:
        """Show a job's search in optuna-dashboard, also while it runs, until Ctrl-C.

        It is for this machine alone: the page has no password.
        """
        store, name, _ = find_job(job, storage)
        with _journal(store, name) as file:
            console.print(f"Search of {name}: http://127.0.0.1:{port} (Ctrl-C ends it)")
            _serve(file, port)


@contextmanager
def _journal(store: Store, job: str) -> Iterator[Path]:
    """Give the journal of a job's search as a file; a remote one as it is now.

    Raises:
        JobError: The job has none.
    """
    name = f"jobs/{job}/study.journal"
    data = store.read(name)
    if data is None:
        problem = f"{job} has no search, or it has not begun: {store.uri_of(name)} is not there."
        raise JobError("dashboard", problem, f"See how far it is: kdray status {job}.")
    if store.is_local:
        yield Path(store.path(name))
        return
    with tempfile.TemporaryDirectory(prefix="kdray-") as folder:
        file = Path(folder) / "study.journal"
        file.write_bytes(data)
        yield file


def _serve(file: Path, port: int) -> None:
    try:
        from optuna_dashboard import run_server
    except ImportError as error:
        raise JobError(
            "dashboard",
            "optuna-dashboard is not installed.",
            f"pip install 'kdray[dashboard]'; it also opens the file itself: {file}.",
        ) from error
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        run_server(JournalStorage(JournalFileBackend(str(file))), host="127.0.0.1", port=port)
    except OSError as error:
        problem = f"port {port} cannot be used: {error.strerror}."
        raise JobError("dashboard", problem, "Give another one: --port.") from error
