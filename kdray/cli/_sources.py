"""Public data sets: what they are, whether what is there is all of them, and fetching them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdray import parts
from kdray.cli._output import console, print_table
from kdray.cli._parts import facts
from kdray.errors import DataError, JobError
from kdray.spec.strict import Part

#: Facts of a source beside its settings: constant of the part -> its name in JSON.
_FACTS = {
    "CLASSES": "classes",
    "COUNTS": "counts",
    "FROM_MEMORY": "counts_from_memory",
    "GET": "get",
    "KAGGLE": "kaggle",
    "LICENCE": "licence",
    "NOTES": "notes",
}


def source_facts(name: str) -> dict[str, Any]:
    """Return what a source says of itself, and of the data set it is for.

    Raises:
        JobError: There is no such source.
    """
    constants = parts.header("data", name).constants
    known = {key: constants[name] for name, key in _FACTS.items() if name in constants}
    return {**facts("data", name), **known, "fetch": _fetcher(name)}


def print_sources(found: Sequence[Mapping[str, Any]]) -> None:
    """Print sources in a table."""
    rows = [
        (
            item["name"],
            item["title"],
            _total(item.get("counts", {})),
            "\n".join(_setting(setting) for setting in item["settings"]),
        )
        for item in found
    ]
    columns = ("name", "what it is", "images", "settings and defaults")
    print_table("Data sources (`data.source` of a job)", columns, rows)


def print_known(item: Mapping[str, Any]) -> None:
    """Print what a source says of its data set."""
    counts = item.get("counts", {})
    if counts and item.get("classes"):
        rows = [
            (split, *(found.get(name, "") for name in item["classes"]), _sum(found))
            for split, found in counts.items()
        ]
        print_table("Images it should have", ("split", *item["classes"], "all"), rows)
    memory = ", ".join(item.get("counts_from_memory", ()))
    lines = {
        "Counts from memory, unchecked": memory,
        "Get it": item.get("get", ""),
        "Fetch it": f"kdray data fetch {item['name']} --to DIR" if item["fetch"] else "",
        "Licence": item.get("licence", ""),
    }
    told = [f"{word}: {text}" for word, text in lines.items() if text]
    for line in (*told, *(f"Note: {note}" for note in item.get("notes", ()))):
        console.print(line, markup=False, highlight=False)


def verify(source: Part) -> dict[str, Any]:
    """Return ``counts`` of a source's images, ``expected`` and ``deviations``; decodes nothing.

    Raises:
        DataError: The data are not there.
        JobError: There is no such source, or its settings are wrong.
    """
    parts.settings("data", source)
    from kdray.data import _known

    module = parts.load("data", source.name)
    params = module.Params.model_validate(source.params)
    found = _known.count(module.rows(params))
    return {
        "source": source.name,
        "counts": found,
        "expected": _known.expected(module, params),
        "deviations": _known.differences(module, params, found),
    }


def print_deviations(deviations: Sequence[Mapping[str, Any]]) -> None:
    """Print where a data set is not what it should be."""
    if deviations:
        rows = [
            (item["split"], item["class"], item["expected"], item["found"]) for item in deviations
        ]
        columns = ("split", "class", "expected", "found")
        print_table("Not as many images as the public data set has", columns, rows)


def fetch(name: str, to: Path) -> str:
    """Download a public data set into a folder and return where it lies.

    Raises:
        JobError: There is no such source, or none that a library fetches.
        DataError: The library is not installed, or cannot reach the data.
    """
    how = _fetcher(name)
    if how is None:
        get = parts.header("data", name).constants.get("GET", "It reads your own files.")
        raise JobError(name, "no library fetches this source.", get)
    if how == "nilearn":
        return str(parts.load("data", name).fetch(to))
    return _from_kaggle(parts.header("data", name).constants["KAGGLE"], to)


def _from_kaggle(handle: str, to: Path) -> str:
    try:
        import kagglehub
        import kagglehub.exceptions
    except ImportError as error:
        raise DataError(
            handle, "fetching from Kaggle needs kagglehub.", "Run `pip install kdray[download]`."
        ) from error
    refused = kagglehub.exceptions
    errors = (
        OSError,  # requests' errors are of this kind
        ValueError,
        refused.BackendError,
        refused.CredentialError,
        refused.DataCorruptionError,
        refused.NotFoundError,
        refused.UnauthenticatedError,
    )
    to.mkdir(parents=True, exist_ok=True)
    try:
        return str(kagglehub.dataset_download(handle, output_dir=str(to)))
    except errors as error:
        raise DataError(
            handle,
            f"cannot be fetched from Kaggle: {type(error).__name__}: {error}.",
            f"Is the network there? Or download it from kaggle.com/datasets/{handle} by hand.",
        ) from error


def _fetcher(name: str) -> str | None:
    constants = parts.header("data", name).constants
    return "kagglehub" if "KAGGLE" in constants else constants.get("FETCHED_BY")


def _total(counts: Mapping[str, Mapping[str, int]]) -> str:
    found = counts.get("all")
    total = _sum(found) if found else sum(_sum(split) for split in counts.values())
    return f"{total:,}" if total else ""


def _sum(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def _setting(item: Mapping[str, Any]) -> str:
    return (
        f"{item['name']} (required)" if item["required"] else f"{item['name']} {item['default']}"
    )
