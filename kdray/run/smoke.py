"""A job as a trial run: a few drawn images, one step of each training, all else as it is."""

from __future__ import annotations

from kdray.spec import Experiment, Suite
from kdray.spec.data import Data
from kdray.spec.experiment import Evaluate, Search, Train
from kdray.spec.strict import Part

#: Drawn images of a trial run; after the division into splits, one batch to train on.
NUM_IMAGES = 40
IMAGE_SIZE = 64


def smoke(job: Experiment | Suite) -> Experiment | Suite:
    """Return a job with its own models, methods, measures and explanations, for minutes at most.

    The images are drawn, each model takes one step, one seed is used, and results go to
    ``<storage>/smoke`` instead, registry included. Weights are random: nothing is downloaded.
    """
    if isinstance(job, Experiment):
        return _small(job, IMAGE_SIZE)
    made = [_small(item, job.smoke.image_size) for item in job.expanded()]
    keep = {"apiVersion", "kind", "name", "description"}
    trees = [item.model_dump(mode="json", exclude=keep) for item in made]
    variants = [
        {
            "name": variant.name,
            "set": {key: value for key, value in tree.items() if key != "storage"},
        }
        for variant, tree in zip(job.experiments, trees, strict=True)
    ]
    whole = job.model_dump(mode="json")
    return Suite.model_validate({**whole, "base": trees[0], "experiments": variants})


def _small(job: Experiment, image_size: int) -> Experiment:
    folder = _inside(job.storage.uri, "smoke")
    models = {
        role: tuple(model.model_copy(update={"weights": "none"}) for model in getattr(job, role))
        for role in ("teachers", "students")
    }
    train = job.train.model_copy(
        update={"teacher": _one_step(job.train.teacher), "student": _one_step(job.train.student)}
    )
    few = {"images": min(job.explain.images, 1), "scored": min(job.explain.scored, 2)}
    return job.model_copy(
        update={
            **models,
            "data": _drawn(job.data, image_size),
            "train": train,
            "search": Search(trials=0),
            "evaluate": Evaluate(seeds=1, latency_repeats=1),
            "explain": job.explain.model_copy(update={**few, "models": "best"}),
            "promote": job.promote.model_copy(update={"registry": _inside(folder, "registry")}),
            "storage": job.storage.model_copy(update={"uri": folder}),
        }
    )


def _inside(uri: str, name: str) -> str:
    """Return the URI of a folder in a folder; what stands behind a ``?`` stays behind."""
    path, mark, query = uri.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{query}"


def _drawn(data: Data, image_size: int) -> Data:
    source = Part(name="phantom", params={"num_images": NUM_IMAGES, "size": image_size})
    return Data(source=source, image_size=image_size, channels=data.channels, augment=data.augment)


def _one_step(train: Train) -> Train:
    return train.model_copy(
        update={"epochs": 1, "batch_size": max(train.batch_size, NUM_IMAGES), "warmup_epochs": 0.0}
    )
