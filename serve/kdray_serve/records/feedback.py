"""Takes users' right labels: checked against the model's classes, written by a thread beside."""

from __future__ import annotations

import logging
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from kdray.errors import StoreError
from kdray.served import feedback
from kdray.served.feedback import Feedback
from kdray.store import Store
from kdray_serve.meter import Answered
from kdray_serve.records.audit import now
from kdray_serve.records.background import Background
from kdray_serve.refusal import Refusal
from kdray_serve.work import Caller, Key

_LOG = logging.getLogger("kdray.feedback")
#: Feedback is collected for so long, or up to so many, for one file.
_FILE_S, _FILE_ROWS = 2.0, 500
#: After so many files it is looked whether they shall be merged.
_LOOK_EVERY = 8


@dataclass(frozen=True)
class Said:
    """What a model answered.

    Args:
        key: Name and version of the model.
        classes: Its classes.
        predicted: Hash of the image -> its predicted class.
    """

    key: Key
    classes: tuple[str, ...]
    predicted: Mapping[str, str]


class Recent:
    """The latest answers of this process, by request; the oldest leave first.

    Args:
        most: How many are remembered.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._answers: OrderedDict[str, Said] = OrderedDict()  # changed by the event loop alone

    def note(self, answered: Answered) -> None:
        """Remember an answer."""
        said = {
            predicted.sha256: answered.classes[predicted.place] for predicted in answered.predicted
        }
        request_id = answered.caller.request_id
        self._answers[request_id] = Said(answered.key, answered.classes, said)
        self._answers.move_to_end(request_id)
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def get(self, request_id: str) -> Said | None:
        """Return what was answered to a request; None where it is not remembered."""
        return self._answers.get(request_id)


class FeedbackLog:
    """The feedback that reaches one process.

    Args:
        store: The service's storage.
        service: The service's name.
    """

    def __init__(self, store: Store, service: str) -> None:
        self._store, self._service = store, service
        self._files = 0
        self._queue = Background("feedback", self._write, every_s=_FILE_S, batch=_FILE_ROWS)

    def add(self, row: Feedback) -> None:
        """Queue feedback.

        Raises:
            Refusal: The storage has refused feedback for too long.
        """
        if not self._queue.put(row):
            raise Refusal(503, "Feedback cannot be written down now.", {"Retry-After": "5"})

    def close(self) -> None:
        """Write what waits."""
        self._queue.close()

    def _write(self, rows: list[Feedback]) -> None:
        feedback.write(self._store, self._service, rows)
        if self._files % _LOOK_EVERY == 0:
            self._merge()
        self._files += 1

    def _merge(self) -> None:
        try:
            feedback.merge(self._store, self._service)
        except (StoreError, OSError) as error:  # the rows are safe in their small files
            _LOG.error("feedback cannot be merged: %s", error)


@dataclass(frozen=True)
class Given:
    """What a user sent.

    Args:
        request_id: Of the answer.
        label: The right class.
        comment: In the user's words.
        image_sha256: Which image of the request; empty: its only one.
    """

    request_id: str
    label: str
    comment: str = ""
    image_sha256: str = ""


def checked(given: Given, caller: Caller, said: Said | None) -> Feedback:
    """Return feedback to be written down.

    Args:
        given: What a user sent.
        caller: Who.
        said: What had been answered, or at least the model and its classes; None: not known.

    Raises:
        Refusal: 422; the label is none of the model's classes, or it is open which image is meant.
    """
    if said is not None and given.label not in said.classes:
        classes = ", ".join(said.classes)
        raise Refusal(422, f"There is no class {given.label!r}. There are: {classes}.")
    image = given.image_sha256 or _only(said)
    name, version = said.key if said is not None else ("", 0)
    return Feedback(
        id=uuid.uuid4().hex,
        when=now(),
        who=caller.name,
        request_id=given.request_id,
        image_sha256=image,
        label=given.label,
        model=name,
        version=version,
        predicted=said.predicted.get(image, "") if said is not None else "",
        known=said is not None,
        comment=given.comment,
    )


def _only(said: Said | None) -> str:
    """Return the hash of the answered image; empty where no answer is known."""
    if said is None or not said.predicted:
        return ""
    if len(said.predicted) > 1:
        detail = f"The request had {len(said.predicted)} images: name one as `image_sha256`."
        raise Refusal(422, detail)
    return next(iter(said.predicted))
