"""Settings that several methods, or several explanations, share."""

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

#: What hides a part of an image: the colour that is the training images' mean, a blurred copy of
#: the image, or the darkest value of each of its channels.
Baseline = Literal["mean", "blurred", "darkest"]
#: What of a class an explanation follows: its logit or its probability.
Score = Literal["logit", "probability"]
#: Which parts of an image a map shows: those that speak for the class, or those that matter.
Sign = Literal["positive", "absolute"]
