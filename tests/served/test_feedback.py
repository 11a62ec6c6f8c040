"""Feedback in Parquet files, and what it says of the models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kdray.errors import StoreError
from kdray.served import feedback
from kdray.served.feedback import Feedback
from kdray.store import Store

ROW = Feedback(
    id="1",
    when="2026-11-21T10:00:00.000Z",
    who="ward",
    request_id="r1",
    image_sha256="",
    label="glioma",
    model="brain",
    version=3,
    predicted="glioma",
    known=True,
    comment="seen twice",
)
UNKNOWN = replace(ROW, id="2", model="", version=0, predicted="", known=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def answer(request_id: str, says: str, sha256: str = "i1") -> dict[str, object]:
    return {
        "request_id": request_id,
        "model": "brain",
        "version": 3,
        "image_sha256": sha256,
        "answer": {"class": says},
    }


def test_what_is_written_is_read_by_time(store: Store) -> None:
    later = replace(ROW, id="3", when="2026-11-21T11:00:00.000Z")
    feedback.write(store, "mri", [later])
    feedback.write(store, "mri", [ROW, UNKNOWN])
    assert feedback.read(store, "mri") == [ROW, UNKNOWN, later]


def test_other_tools_read_the_files_as_parquet(store: Store) -> None:
    import pyarrow.parquet as pq

    name = feedback.write(store, "mri", [ROW])
    table = pq.read_table(store.path(f"services/mri/feedback/{name}"))
    assert table.to_pylist()[0]["comment"] == "seen twice"


def test_many_small_files_become_one_and_no_row_is_lost_or_doubled(store: Store) -> None:
    rows = [replace(ROW, id=f"{number:03d}") for number in range(feedback.MERGE_FROM)]
    for row in rows:
        feedback.write(store, "mri", [row])
    assert feedback.merge(store, "mri") == feedback.MERGE_FROM
    assert len(store.list("services/mri/feedback")) == 1
    assert feedback.read(store, "mri") == rows


def test_few_files_are_left_alone(store: Store) -> None:
    feedback.write(store, "mri", [ROW])
    assert feedback.merge(store, "mri") == 0


def test_a_row_that_is_in_two_files_counts_once(store: Store) -> None:
    feedback.write(store, "mri", [ROW])
    feedback.write(store, "mri", [ROW, UNKNOWN])
    assert feedback.read(store, "mri") == [ROW, UNKNOWN]


def test_a_file_of_something_else_is_told(store: Store) -> None:
    store.write("services/mri/feedback/x.parquet", b"text")
    with pytest.raises(StoreError, match="no feedback"):
        feedback.read(store, "mri")


def test_feedback_is_joined_with_the_answer_of_its_request() -> None:
    [found] = feedback.judge([UNKNOWN], [answer("r0", "pituitary"), answer("r1", "meningioma")])
    assert (found.model, found.version, found.predicted) == ("brain", 3, "meningioma")
    assert found.is_right is False


def test_of_several_images_the_named_one_is_joined() -> None:
    lines = [answer("r1", "meningioma", "i1"), answer("r1", "glioma", "i2")]
    named = replace(UNKNOWN, image_sha256="i2")
    assert feedback.judge([named], lines)[0].is_right is True
    assert feedback.judge([UNKNOWN], lines)[0].is_right is None


def test_feedback_without_an_answer_is_neither_right_nor_wrong() -> None:
    [found] = feedback.judge([UNKNOWN], [])
    assert found.is_right is None
    assert feedback.standings([found]) == []


def test_the_last_feedback_on_an_image_counts() -> None:
    corrected = replace(ROW, id="9", when="2026-11-21T12:00:00.000Z", label="pituitary")
    assert [one.is_right for one in feedback.judge([ROW, corrected], [])] == [False]


def test_the_interval_is_wilsons() -> None:
    # Newcombe (1998), table I: 81 of 263.
    assert feedback.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert feedback.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_standings_are_by_version() -> None:
    rows = [replace(ROW, id=str(n), request_id=str(n)) for n in range(4)]
    rows[3] = replace(rows[3], label="pituitary")
    other = replace(ROW, id="x", request_id="x", version=4)
    first, second = feedback.standings(feedback.judge([*rows, other], []))
    assert (first.model, first.right, first.total, first.accuracy) == ("brain@3", 3, 4, 0.75)
    assert (second.model, second.right, second.total) == ("brain@4", 1, 1)


def test_feedback_is_kept_and_merged_on_s3(s3: str, tmp_path: Path) -> None:
    store = Store(s3, cache=str(tmp_path))
    rows = [replace(ROW, id=f"{number:03d}") for number in range(feedback.MERGE_FROM)]
    for row in rows:
        feedback.write(store, "mri", [row])
    assert feedback.read(store, "mri") == rows
    assert feedback.merge(store, "mri") == feedback.MERGE_FROM
    assert len(store.list("services/mri/feedback")) == 1
    assert feedback.read(store, "mri") == rows
