from __future__ import annotations

from typing import Any

import pytest

from kdray.knowledge import names
from kdray.knowledge.names import Column, record_key
from kdray.plan import keys
from kdray.spec.experiment import Augment, Train

SAME: dict[str, Any] = {
    "teacher": "t",
    "dataset": "d",
    "augment": Augment(),
    "seed": 0,
    "train": Train(),
}


@pytest.mark.parametrize(
    "other",
    [
        {"teacher": "other"},
        {"dataset": "other"},
        {"augment": Augment(rotate=11)},
        {"seed": 1},
        {"train": Train(per_class=5)},
        {"train": Train(balance="smote")},
        {"train": Train(subset_seed=1)},
    ],
)
def test_whatever_changes_an_answer_changes_the_key(other: dict[str, Any]) -> None:
    assert record_key(**{**SAME, **other}) != record_key(**SAME)


def test_new_code_of_records_is_new_code_of_their_step() -> None:
    assert names.CODE == keys.CODE["record"]


def test_settings_of_the_student_alone_leave_the_key() -> None:
    train = Train(epochs=99, learning_rate=0.1, batch_size=7, precision="bfloat16")
    assert record_key(**{**SAME, "train": train}) == record_key(**SAME)
    assert len(record_key(**SAME)) == 16


@pytest.mark.parametrize(
    ("column", "size"),
    [
        (Column("logits", (7,), "float32"), 28),
        (Column("map/texture.above-3.0", (1, 56, 56), "bool"), 392),
        (Column("map/shape.above-3.0", (1, 7, 7), "bool"), 7),
        (Column("map/stage1", (64, 112, 112), "float16"), 64 * 112 * 112 * 2),
    ],
)
def test_a_column_costs_its_numbers_in_bytes(column: Column, size: int) -> None:
    assert column.image_bytes == size


def test_a_folder_is_named_by_column_and_numbers() -> None:
    assert Column("map/texture.above-3.0", (1,), "bool").slug == "map-texture.above-3.0-bool"
