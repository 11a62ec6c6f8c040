"""The training loop for one process, of a teacher or a student; no Ray."""

from kdray.learn.batches import Batch, Batches, images_at_once
from kdray.learn.loop import Fitted, Hooks, Stepper, fit
from kdray.learn.objective import Labels, Objective, Taught
from kdray.learn.state import Epoch
from kdray.learn.teachers import Live, Mean, Recorded, Teacher
from kdray.learn.world import World

__all__ = [
    "Batch",
    "Batches",
    "Epoch",
    "Fitted",
    "Hooks",
    "Labels",
    "Live",
    "Mean",
    "Objective",
    "Recorded",
    "Stepper",
    "Taught",
    "Teacher",
    "World",
    "fit",
    "images_at_once",
]
