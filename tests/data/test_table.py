from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from kdray.data import Row, table
from kdray.errors import DataError

Draw = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def make(text: str) -> str:
        (tmp_path / "table.csv").write_text(text)
        return str(tmp_path / "table.csv")

    return make


def read(file: str, **params: object) -> list[Row]:
    return list(table.rows(table.Params(file=file, **params)))


def test_each_row_is_an_image(write: Callable[[str], str]) -> None:
    file = write("path,label,split,group\na.png,x,Training,p1\nb.png,y,shifted,\n")
    facts = [(row.id, row.label, row.split, row.group) for row in read(file)]
    assert facts == [("a.png", "x", "train", "p1"), ("b.png", "y", "shifted", None)]


def test_columns_may_have_other_names(write: Callable[[str], str]) -> None:
    file = write("image_id,dx,lesion_id\nISIC_1,nv,HAM_1\n")
    (row,) = read(file, path="image_id", suffix=".jpg", label="dx", group="lesion_id")
    assert (row.id, row.label, row.group, row.split) == ("ISIC_1", "nv", "HAM_1", None)


def test_the_images_are_read_from_the_root(draw: Draw, write: Callable[[str], str]) -> None:
    path = draw("one/ISIC_1.png", 0)
    file = write("path,label\nISIC_1,nv\n")
    (row,) = read(file, root=str(path.parent), suffix=".png")
    assert row.read() == path.read_bytes()


def test_numbers_and_NA_stay_as_they_are_written(write: Callable[[str], str]) -> None:
    file = write("path,label,group\na.png,0,007\nb.png,NA,1.50\n")
    assert [(row.label, row.group) for row in read(file)] == [("0", "007"), ("NA", "1.50")]


def test_parquet_is_read_as_well(tmp_path: Path) -> None:
    file = tmp_path / "table.parquet"
    pa.parquet.write_table(pa.table({"path": ["a.png"], "label": [3]}), file)
    assert [(row.id, row.label) for row in read(str(file))] == [("a.png", "3")]


def test_a_missing_column_names_the_nearest(write: Callable[[str], str]) -> None:
    with pytest.raises(DataError, match=r"no column 'label'.* 'labels'"):
        read(write("path,labels\na.png,x\n"))


def test_a_column_that_is_named_must_be_there(write: Callable[[str], str]) -> None:
    with pytest.raises(DataError, match="no column 'patient'"):
        read(write("path,label\na.png,x\n"), group="patient")


def test_an_empty_label_is_an_error_with_its_row(write: Callable[[str], str]) -> None:
    with pytest.raises(DataError, match="row 2 has no label"):
        read(write("path,label\na.png,x\nb.png,\n"))


def test_a_missing_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a table"):
        read(str(tmp_path / "none.csv"))


def test_the_fingerprint_changes_with_a_label(draw: Draw, write: Callable[[str], str]) -> None:
    before = table.fingerprint(table.Params(file=write("path,label\nraw/a.png,x\n")))
    after = table.fingerprint(table.Params(file=write("path,label\nraw/a.png,y\n")))
    assert before != after
