from __future__ import annotations

import pytest
from pydantic import ValidationError

from kdray.spec.experiment import Train, Training


def test_teachers_may_be_pretrained_by_binary_cross_entropy() -> None:
    assert Training(teacher=Train(loss="bce")).teacher.loss == "bce"
    assert Train().loss == "cross_entropy"


def test_the_loss_of_a_student_is_its_methods() -> None:
    with pytest.raises(ValidationError, match="bce is for teachers: a student's loss is its"):
        Training(student=Train(loss="bce"))
