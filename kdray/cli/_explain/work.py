"""Explaining images: a batch at a time, method by method, what fails noted and passed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kdray import measure
from kdray.cli._explain.batches import Batch, Named, Record, batch_of
from kdray.cli._explain.compare import Comparison
from kdray.cli._explain.files import Files
from kdray.cli._explain.images import Source
from kdray.cli._explain.maps import Map, map_of, numbers
from kdray.cli._explain.wanted import Method, Wanted
from kdray.errors import ExplainError, ModelError
from kdray.explain import Explanation

#: Images that are decoded and explained at once: enough to keep a processor busy, and few enough
#: for their activations to stay in its cache and for progress to be seen.
BATCH = 8


class Work:
    """Explains images, and compares the maps of two models at the end.

    Args:
        models: The explained one, and the one that it is compared with, if any, which knows the
            same classes.
        wanted: What every image is asked.
        files: Where maps and pictures go; None: nowhere.
    """

    def __init__(self, models: Sequence[Named], wanted: Wanted, files: Files | None) -> None:
        self._models = models
        self._wanted = wanted
        self._files = files
        self._refused: set[tuple[str, str]] = set()  # (model, method)
        self._comparison = Comparison()
        self._sources: list[Source] = []
        #: What is known of each image.
        self.records: list[Record] = []
        #: What could not be done: ``image`` or ``method``, and ``error``.
        self.errors: list[dict[str, str]] = []

    def explain(self, sources: Sequence[Source], tell: Callable[[int], None]) -> None:
        """Explain images, and write what can be written of them.

        Args:
            sources: The images.
            tell: Told how many images a method has done since it was last told.
        """
        for first in range(0, len(sources), BATCH):
            some = sources[first : first + BATCH]
            batch = batch_of(some, self._models, self._wanted, self.errors.append)
            for method in self._wanted.methods:
                if batch is not None:
                    self._explain(batch, method)
                tell(len(some))
            if batch is not None:
                self.records += batch.records
                self._sources += batch.sources
                self._write(batch.sources, batch.records)

    def compare(self) -> None:
        """Add to each map how alike that of the other model is, and write it."""
        if len(self._models) > 1:
            self._comparison.finish()
            self._write(self._sources, self.records)

    def _write(self, sources: Sequence[Source], records: Sequence[Record]) -> None:
        if self._files is not None:
            for source, record in zip(sources, records, strict=True):
                self._files.write_image(source, record)

    def _explain(self, batch: Batch, method: Method) -> None:
        found = [self._asked(place, batch, method) for place in range(len(self._models))]
        if found[0] is None:
            return
        places = batch.places()
        scores = self._scores(batch, found[0], places)
        for index, (image, place) in enumerate(places):
            target = batch.targets[0][image, place]
            maps = [self._map(explanation, image, place) for explanation in found]
            record: Record = {
                **method.facts(),
                "class": self._models[0].predictor.classes[target],
                **maps[0].facts(),
                "scores": None if scores is None else numbers(scores.values, index),
            }
            if len(maps) > 1:
                record["teacher"] = maps[1].facts()
                asked = (method.name, self._wanted.classes[place])
                self._comparison.add(record, asked, *maps)
            record |= self._drawn(batch, image, record, maps)
            batch.records[image]["maps"].append(record)

    def _asked(self, place: int, batch: Batch, method: Method) -> Explanation | None:
        """Return a model's explanation; None, noted once, where it lacks what is looked at."""
        model = self._models[place]
        if (model.called, method.name) in self._refused:
            return None
        try:
            return model.predictor.explain(
                batch.images[place], method.name, method.params, batch.targets[place]
            )
        except (ExplainError, ModelError) as error:
            self._refused.add((model.called, method.name))
            self.errors.append({"method": method.name, "error": f"{model.called}: {error}"})
            return None

    def _map(self, explanation: Explanation | None, image: int, place: int) -> Map:
        if explanation is None:
            return Map(None, "the model cannot be explained so.")
        return map_of(explanation, image, place)

    def _scores(
        self, batch: Batch, explanation: Explanation, places: Sequence[tuple[int, int]]
    ) -> measure.MapScores | None:
        if not self._wanted.scored:
            return None
        rows, columns = np.array(places).T
        return measure.map_scores(
            self._models[0].predictor.predict,
            batch.images[0][rows],
            explanation.maps[rows, columns],
            batch.targets[0][rows, columns],
        )

    def _drawn(
        self, batch: Batch, image: int, record: Record, maps: Sequence[Map]
    ) -> dict[str, Any]:
        if self._files is None:
            return {}
        title = f"{record['method']}-{record['class']}"
        return self._files.write_map(batch.sources[image], title, batch.pixels[image], maps)
