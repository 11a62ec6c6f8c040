"""Records of small nets, for the tests of those who write and read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from kdray import parts
from kdray.data import Pool, Views
from kdray.distill import DistillationMethod
from kdray.knowledge.names import missing, num_parts
from kdray.knowledge.outline import Asked, Outline, asked_of, together
from kdray.knowledge.reader import Knowledge
from kdray.knowledge.record import Recorder, places_of
from kdray.net import Net
from kdray.store import Store

KEY = "0123456789abcdef"
Dtype = Literal["float16", "float32"]


def method(name: str, **params: Any) -> DistillationMethod:
    """Return a method by name."""
    module = parts.load("distill", name)
    made: DistillationMethod = module.Method(module.Params(**params))
    return made


def asked(
    taught: DistillationMethod, student: Net, teacher: Net, dtype: Dtype = "float16"
) -> Asked:
    """Return what a method wants of a net for images of 16 px."""
    return asked_of(taught, student, Outline.of(teacher, 1, 16), dtype)


def record(
    store: Store, teacher: Net, wanted: Sequence[Asked], pool: Pool, views: Views, key: str = KEY
) -> int:
    """Record all that is missing and return the images the teacher looked at."""
    assert views.number is not None
    recorder = Recorder(store, key, teacher, wanted, pool, views)
    spots = missing(store, key, together(wanted), views.number, len(pool))
    return sum(recorder.record(view, part) for view, part in spots)


def knowledge(
    store: Store, wanted: Sequence[Asked], pool: Pool, views: Views, key: str = KEY
) -> Knowledge:
    """Return the reader of what was recorded."""
    assert views.number is not None
    assert num_parts(len(pool)) >= 1
    return Knowledge(store, key, together(wanted), places_of(pool), views.number)
