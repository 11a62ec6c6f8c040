"""A teacher's answers to the views of a pool, computed in one order whoever asks, and written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from kdray.data import Pool, Views
from kdray.knowledge.names import BATCH, PART, Column, Places, file_of
from kdray.knowledge.outline import Asked, flatten, restrict, together, union
from kdray.knowledge.writer import Values, packed, write_part
from kdray.net import Net, look
from kdray.store import Store


def places_of(pool: Pool) -> Places:
    """Return what names the samples of a pool, ascending: places, and numbers of what SMOTE made.

    Drawn again in an epoch, a sample is the same here: only its view differs.
    """
    made = len(pool.dataset) + np.arange(len(pool.made), dtype=np.int64)
    return np.concatenate([pool.places, made])


class Recorder:
    """Records one teacher; several on several machines give the same files.

    The batches are those of the parts, 32 places ascending, whatever batches training takes.

    Args:
        store: The storage.
        key: Names the record.
        teacher: The net, on the device of ``views``; put into eval mode.
        asked: What the methods want of it.
        pool: The images.
        views: What turns them into views.
    """

    def __init__(
        self,
        store: Store,
        key: str,
        teacher: Net,
        asked: Sequence[Asked],
        pool: Pool,
        views: Views,
    ) -> None:
        self._store = store
        self._key = key
        self._teacher = teacher
        self._asked = tuple(asked)
        self._pool = pool
        self._views = views
        self._places = places_of(pool)
        teacher.module.eval().requires_grad_(False)

    def record(self, view: int, part: int) -> int:
        """Write the missing files of a view and part, in one pass; return the images it took.

        Args:
            view: Number of the view, from 0.
            part: Number of the part, from 0.

        Raises:
            RunError: The teacher's answer is not finite in the type of a column.
            StoreError: The storage refuses.
        """
        wanted = {
            column
            for column in together(self._asked)
            if not self._store.exists(file_of(self._key, column, view, part))
        }
        if not wanted:
            return 0
        places = self._places[part * PART : (part + 1) * PART]
        held: dict[Column, Values] = {}
        for start in range(0, len(places), BATCH):
            rows = places[start : start + BATCH]
            for column, values in self._answer(view, rows, wanted).items():
                whole = held.setdefault(column, _room(len(places), values))
                whole[start : start + BATCH] = values
        for column, values in held.items():
            write_part(self._store, self._key, column, view, part, places, values)
        return len(places)

    def _answer(self, view: int, places: Places, wanted: set[Column]) -> dict[Column, Values]:
        """Return the wanted columns of one batch, from one forward pass."""
        asked = [one for one in self._asked if wanted.intersection(one.columns)]
        answer: dict[Column, Values] = {}
        with torch.no_grad():
            images = self._views.train(self._pool.images(places), view, places)
            seen = look(self._teacher, images, union(one.wants for one in asked))
            for one in asked:
                columns = flatten(one.reduce(restrict(seen, one.wants)))
                for column in one.columns:
                    if column in wanted and column not in answer:
                        answer[column] = packed(column, columns[column.name])
        return answer


def _room(length: int, like: Values) -> Values:
    return np.empty((length, *like.shape[1:]), dtype=like.dtype)
