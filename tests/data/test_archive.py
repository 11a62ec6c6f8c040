from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kdray.data import Dataset, archive, folder
from kdray.errors import DataError

Draw = Callable[..., Path]
Prepare = Callable[..., Dataset]
Pack = Callable[..., str]


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Return a function that zips the folder ``raw``, its names below ``prefix``."""

    def make(prefix: str = "") -> str:
        path, root = tmp_path / "set.zip", tmp_path / "raw"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for one in sorted(root.rglob("*"), reverse=True):
                if one.is_file():
                    file.write(one, f"{prefix}{one.relative_to(root).as_posix()}")
        return str(path)

    return make


def read(path: str, **settings: object) -> list[tuple[str, str, str | None, bytes]]:
    rows = archive.rows(archive.Params.model_validate({"path": path, **settings}))
    return [(row.id, row.label, row.split, bytes(row.read())) for row in rows]


@pytest.mark.parametrize("prefix", ["", "download/images/"])
@pytest.mark.parametrize(
    "names",
    [
        ("cat/1.png", "dog/2.png"),
        ("Training/cat/1.png", "Testing/cat/2.png", "Training/dog/3.png", "Shifted/dog/4.png"),
        ("Train/cat/images/1.png", "Train/cat/masks/1.png", "Test/cat/images/2.png"),
        ("cat/patient1/1.png", "cat/1_mask.png", "dog/2.png"),
    ],
)
def test_an_archive_is_read_as_its_folder(
    draw: Draw, pack: Pack, tmp_path: Path, names: tuple[str, ...], prefix: str
) -> None:
    for number, name in enumerate(names):
        draw(name, number)
    rows = folder.rows(folder.Params(path=str(tmp_path / "raw")))
    expected = [(row.id, row.label, row.split, row.read()) for row in rows]
    assert read(pack(prefix)) == expected


def test_classes_and_the_folder_in_the_archive_can_be_chosen(draw: Draw, pack: Pack) -> None:
    for number, name in enumerate(("a/cat/1.png", "a/dog/2.png", "b/cat/3.png")):
        draw(name, number)
    assert [row[0] for row in read(pack(), root="a", classes=["dog"])] == ["dog/2.png"]


def test_an_archive_is_prepared_like_its_folder(draw: Draw, pack: Pack, prepared: Prepare) -> None:
    for label in range(2):
        for number in range(8):
            draw(f"class{label}/{number}.png", 100 * label + number)
    source = {"name": "archive", "params": {"path": pack("around/")}}
    assert prepared(source).info.hash == prepared().info.hash


def test_the_fingerprint_is_of_the_content_not_the_place(draw: Draw, pack: Pack) -> None:
    draw("cat/1.png", 0)
    path = pack()
    before = archive.fingerprint(archive.Params(path=path))
    moved = path.replace("set.zip", "moved.zip")
    os.rename(path, moved)
    assert archive.fingerprint(archive.Params(path=moved)) == before
    draw("cat/1.png", 1)
    assert archive.fingerprint(archive.Params(path=pack())) != before


def test_an_image_that_unpacks_to_very_much_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("cat/1.png", bytes(2 * 2**20))
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match=r"cat/1.png: unpacks to 2 MB, more than 1"):
        read(str(path), max_image_mb=1)


def test_a_damaged_image_is_a_data_error(draw: Draw, pack: Pack) -> None:
    draw("cat/1.png", 0)
    path = Path(pack())
    data = bytearray(path.read_bytes())
    data[200:260] = bytes(60)
    path.write_bytes(data)
    with pytest.raises(DataError, match="cannot be read from the zip"):
        read(str(path))


def test_names_that_lead_outside_are_only_names(tmp_path: Path, draw: Draw) -> None:
    image = draw("1.png", 0).read_bytes()
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        file.writestr("../../cat/1.png", image)
        file.writestr("dog/1.png", image)
    before = sorted(tmp_path.rglob("*"))
    assert len(read(str(tmp_path / "set.zip"))) == 2
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "problem"), [("no.zip", "no such file"), ("x.zip", "no readable")]
)
def test_what_is_no_archive_is_an_error(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "x.zip").write_bytes(b"something else")
    with pytest.raises(DataError, match=problem):
        read(str(tmp_path / name))


def test_an_archive_without_images_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        file.writestr("readme.txt", "nothing")
    with pytest.raises(DataError, match="holds no images"):
        read(str(tmp_path / "set.zip"))


def test_the_zip_is_open_only_while_its_images_are_read(
    draw: Draw, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[zipfile.ZipFile] = []
    make = archive._open

    def note(params: archive.Params) -> zipfile.ZipFile:
        opened.append(make(params))
        return opened[-1]

    def are_open() -> list[bool]:
        return [file.fp is not None for file in opened]

    monkeypatch.setattr(archive, "_open", note)
    for number, name in enumerate(("cat/1.png", "dog/2.png")):
        draw(name, number)
    rows = list(archive.rows(archive.Params(path=pack())))
    assert are_open() == [False]
    picture = rows[0].read()
    assert are_open() == [False, True]
    rows[1].read()
    assert are_open() == [False, False]
    assert rows[0].read() == picture
    assert are_open() == [False, False, False]
