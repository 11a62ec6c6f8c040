"""Settings of the loss terms that several methods share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

LabelLoss = Annotated[
    Literal["cross_entropy", "bce"],
    Field(
        description="Loss of the labels: softmax cross-entropy, or the binary cross-entropy of "
        "each class against the rest, mean over the classes."
    ),
]
Normalise = Annotated[
    Literal["batch_mean", "batch_times_classes"],
    Field(
        description="What the summed KL divergence is divided by: the batch, or the batch times "
        "the classes as in the code of DeiT and HDKD."
    ),
]
Direction = Annotated[
    Literal["teacher_student", "student_teacher"],
    Field(
        description="Order of the divergence: KL(teacher || student), which covers all of the "
        "teacher's classes, or KL(student || teacher)."
    ),
]
