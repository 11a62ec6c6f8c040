"""The feedback on a service's answers: rows in Parquet files, and what they say of the models.

Files are written whole under new names and never changed; many small ones are merged into one.
A row may be in two files for a while, so rows are told apart by their ``id``.
"""

from __future__ import annotations

import io
import math
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from kdray.errors import StoreError
from kdray.store import Store

#: From how many small files on they are merged into one.
MERGE_FROM = 32
_Z95 = 1.959963984540054  # 97.5 % quantile of the normal distribution


@dataclass(frozen=True)
class Feedback:
    """The right label of an image that was answered.

    Args:
        id: Names the row.
        when: UTC, ISO 8601.
        who: Name of the API key that said so.
        request_id: Of the answer.
        image_sha256: Which image of the request; empty: its only one.
        label: The right class.
        model: Name of the model that answered; empty where the service did not know.
        version: Its version; 0 where the service did not know.
        predicted: What it had answered; empty where the service did not know.
        known: Whether the service knew model and classes, and has checked the label.
        comment: In the user's words.
    """

    id: str
    when: str
    who: str
    request_id: str
    image_sha256: str
    label: str
    model: str
    version: int
    predicted: str
    known: bool
    comment: str


@dataclass(frozen=True)
class Judged:
    """A feedback beside the answer it is about.

    Args:
        feedback: What the user said.
        model: Name of the model that answered; empty where no answer was found.
        version: Its version.
        predicted: What it had answered.
    """

    feedback: Feedback
    model: str
    version: int
    predicted: str

    @property
    def is_right(self) -> bool | None:
        """Whether the answer was the label; None where no answer was found."""
        return self.predicted == self.feedback.label if self.predicted else None


@dataclass(frozen=True)
class Standing:
    """How often a version was right, of the answers that got feedback.

    Args:
        model: Name and version.
        right: Answers that were the label.
        total: Answers with feedback.
        low: Lower end of the 95 % interval of the share (Wilson, 1927).
        high: Upper end.
    """

    model: str
    right: int
    total: int
    low: float
    high: float

    @property
    def accuracy(self) -> float:
        """Share of the right answers."""
        return self.right / self.total


def folder(service: str) -> str:
    """Return where the feedback of a service is, below its storage."""
    return f"services/{service}/feedback"


def write(store: Store, service: str, rows: Sequence[Feedback]) -> str:
    """Write rows as a new file; return its name."""
    first = min(row.when for row in rows)
    stamp = "".join(letter for letter in first[:19] if letter.isdigit() or letter == "T")
    name = f"{stamp}-{uuid.uuid4().hex[:12]}.parquet"
    store.write(f"{folder(service)}/{name}", _encoded(rows))
    return name


def read(store: Store, service: str) -> list[Feedback]:
    """Return all feedback, the earliest first.

    Raises:
        StoreError: A file is none of ours.
    """
    rows: dict[str, Feedback] = {}
    for name in _files(store, service):
        rows.update((row.id, row) for row in _rows(store, service, name))
    return sorted(rows.values(), key=lambda row: (row.when, row.id))


def merge(store: Store, service: str) -> int:
    """Merge the files into one where there are many; return how many were merged.

    What was merged is removed only after the new file is whole, so whoever reads or merges at the
    same time finds each row at least once.
    """
    names = [name for name in _files(store, service) if not name.startswith("merged-")]
    if len(names) < MERGE_FROM:
        return 0
    found = {name: _rows(store, service, name) for name in names}
    rows = {row.id: row for part in found.values() for row in part}
    if rows:
        target = f"merged-{uuid.uuid4().hex[:12]}.parquet"
        store.write(f"{folder(service)}/{target}", _encoded(list(rows.values())))
    for name in names:
        store.delete(f"{folder(service)}/{name}")
    return len(names)


def judge(rows: Iterable[Feedback], answers: Iterable[Mapping[str, Any]]) -> list[Judged]:
    """Return each feedback beside the answer it is about; of several on one image, the last.

    Args:
        rows: The feedback, the earliest first.
        answers: Lines of the audit log (:func:`kdray.served.audit.answers`).
    """
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for line in answers:
        lines.setdefault(str(line.get("request_id")), []).append(line)
    latest = {(row.request_id, row.image_sha256): row for row in rows}
    return [_judged(row, lines.get(row.request_id, ())) for row in latest.values()]


def standings(judged: Iterable[Judged]) -> list[Standing]:
    """Return how often each version was right; feedback on unknown answers is left out."""
    counts: Counter[tuple[str, bool]] = Counter(
        (f"{one.model}@{one.version}", bool(one.is_right))
        for one in judged
        if one.is_right is not None
    )
    found = []
    for model in sorted({model for model, _ in counts}):
        right, total = counts[model, True], counts[model, True] + counts[model, False]
        found.append(Standing(model, right, total, *wilson(right, total)))
    return found


def wilson(right: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson's score interval, 1927)."""
    share, weight = right / total, _Z95**2 / total
    middle = (share + weight / 2) / (1 + weight)
    half = _Z95 / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def _judged(row: Feedback, lines: Sequence[Mapping[str, Any]]) -> Judged:
    if row.predicted:
        return Judged(row, row.model, row.version, row.predicted)
    fitting = [line for line in lines if row.image_sha256 in ("", str(line.get("image_sha256")))]
    said = {(line["model"], line["version"], line["answer"]["class"]) for line in fitting}
    if len(said) != 1:  # no answer, or several images of which the feedback names none
        return Judged(row, row.model, row.version, "")
    [(model, version, predicted)] = said
    return Judged(row, model, version, predicted)


def _files(store: Store, service: str) -> list[str]:
    return [name for name in store.list(folder(service)) if name.endswith(".parquet")]


def _encoded(rows: Sequence[Feedback]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"int": pa.int64(), "bool": pa.bool_(), "str": pa.string()}
    schema = pa.schema([(field.name, kinds[str(field.type)]) for field in fields(Feedback)])
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), buffer)
    return buffer.getvalue()


def _rows(store: Store, service: str, name: str) -> list[Feedback]:
    """Return the rows of a file; none where another process has merged it meanwhile."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    where = f"{folder(service)}/{name}"
    data = store.read(where)
    if data is None:
        return []
    try:
        return [Feedback(**row) for row in pq.read_table(pa.BufferReader(data)).to_pylist()]
    except (pa.ArrowException, TypeError) as error:
        raise StoreError(store.uri_of(where), f"is no feedback of a service: {error}.") from error
