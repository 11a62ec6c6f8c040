"""What becomes of images as they come: pixels as in training, or a refusal in plain words."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pydicom
import pytest
from PIL import Image, TiffImagePlugin
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate

from kdray.images import decode
from kdray_serve.answering.intake import take
from kdray_serve.refusal import Refusal
from kdray_serve.work import Upload

LIMIT = 1_000_000
pytestmark = pytest.mark.filterwarnings("ignore")  # damaged files make decoders warn


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def refused(content: bytes | np.ndarray, status: int, limit: int = LIMIT) -> str:
    with pytest.raises(Refusal) as found:
        take(Upload(content), limit)
    assert found.value.status == status, found.value.detail
    return found.value.detail


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    values = np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)
    return Image.fromarray(values).resize((24, 20), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "RGB"),
        ("PNG", "L"),
        ("PNG", "1"),
        ("PNG", "P"),
        ("PNG", "RGBA"),
        ("PNG", "LA"),
        ("JPEG", "L"),
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("TIFF", "RGB"),
        ("TIFF", "CMYK"),
        ("BMP", "RGB"),
        ("WEBP", "RGB"),
        ("WEBP", "RGBA"),
        ("GIF", "P"),
    ],
)
def test_pixels_are_those_that_training_sees(picture: Image.Image, kind: str, mode: str) -> None:
    content = saved(picture.convert(mode), kind)
    taken = take(Upload(content), LIMIT)
    np.testing.assert_array_equal(taken.pixels, decode(content))
    assert taken.size == (24, 20)


def test_the_hash_is_that_of_the_file(picture: Image.Image) -> None:
    content = saved(picture, "PNG")
    assert take(Upload(content), LIMIT).sha256 == hashlib.sha256(content).hexdigest()


def test_a_photograph_is_turned_upright(picture: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the top is on the right
    taken = take(Upload(saved(picture, "PNG", exif=exif)), LIMIT)
    np.testing.assert_array_equal(taken.pixels, np.rot90(np.asarray(picture), -1))
    assert taken.size == (20, 24)


def test_a_palette_gives_its_colours(picture: Image.Image) -> None:
    indexed = picture.quantize(8)
    taken = take(Upload(saved(indexed, "PNG")), LIMIT)
    np.testing.assert_array_equal(taken.pixels, np.asarray(indexed.convert("RGB")))


def test_alpha_is_left_out_not_laid_over_a_background(picture: Image.Image) -> None:
    clear = picture.convert("RGBA")
    clear.putalpha(0)
    taken = take(Upload(saved(clear, "PNG")), LIMIT)
    np.testing.assert_array_equal(taken.pixels, np.asarray(picture))


def test_an_empty_file_is_said_to_be_empty() -> None:
    assert "empty" in refused(b"", 422)


@pytest.mark.parametrize("content", [b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"%PDF-1.7", b"\0"])
def test_what_is_no_image_of_a_known_format_is_415(content: bytes) -> None:
    assert "Send PNG" in refused(content, 415)


def test_too_many_pixels_are_refused_before_they_are_decoded(picture: Image.Image) -> None:
    head = struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0)
    bomb = bytearray(saved(picture, "PNG"))
    bomb[16 : 16 + len(head)] = head
    bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
    refused(bytes(bomb), 413)
    detail = refused(saved(picture, "PNG"), 413, limit=100)
    assert "480 pixels" in detail
    assert "100" in detail


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_a_truncated_file_is_refused(picture: Image.Image, kind: str) -> None:
    content = saved(picture, kind)
    refused(content[: len(content) * 2 // 3], 422)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_are_refused(picture: Image.Image, kind: str) -> None:
    others = [picture.rotate(90 * turn) for turn in (1, 2)]
    content = saved(picture, kind, save_all=True, append_images=others)
    assert "several frames" in refused(content, 422)


def test_a_chain_of_many_frames_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(_image: object) -> int:
        raise AssertionError("the frames were counted")

    frames = [Image.new("L", (16, 16))] * 2
    content = saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "n_frames", property(count))
    assert "several frames" in refused(content, 422)


def with_scans(number: int) -> bytes:
    """Return a progressive JPEG that repeats its last scan."""
    content = saved(Image.new("L", (64, 64)), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * number + content[-2:]


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    assert take(Upload(with_scans(20)), LIMIT).size == (64, 64)
    assert "scans" in refused(with_scans(100), 422)


def in_dicom(frame: bytes, side: int) -> bytes:
    """Return a DICOM file that holds a JPEG and says that it is ``side`` pixels wide."""
    source = pydicom.dcmread(get_testdata_file("JPEG-lossy.dcm"))
    source.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    source.Rows = source.Columns = side
    source.BitsAllocated = source.BitsStored = 8
    source.HighBit = 7
    source.PixelData = encapsulate([frame])
    buffer = io.BytesIO()
    source.save_as(buffer)
    return buffer.getvalue()


def test_a_jpeg_in_a_dicom_file_has_the_size_and_the_scans_of_others() -> None:
    frame = saved(Image.new("L", (64, 64)), "JPEG")
    assert take(Upload(in_dicom(frame, 64)), LIMIT).size == (64, 64)
    assert "8 x 8 pixels that holds 64 x 64" in refused(in_dicom(frame, 8), 422)
    assert "scans" in refused(in_dicom(with_scans(100), 64), 422)


def test_a_bomb_in_a_dicom_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = saved(Image.new("L", (64, 64)), "JPEG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "cannot be decoded" in refused(in_dicom(frame, 64), 422)


def test_run_lengths_beyond_a_dicom_image_are_refused() -> None:
    source = pydicom.dcmread(get_testdata_file("MR_small_RLE.dcm"))
    source.PixelData = encapsulate([source.PixelData[16:] + b"\x81\0" * 10_000])
    buffer = io.BytesIO()
    source.save_as(buffer)
    assert "more pixels than it has room for" in refused(buffer.getvalue(), 422)


@pytest.mark.parametrize("size", [(1, 1), (7, 100), (100, 7)])
def test_an_image_with_a_tiny_side_is_refused(size: tuple[int, int]) -> None:
    detail = refused(saved(Image.new("L", size), "PNG"), 422)
    assert f"{size[0]} x {size[1]}" in detail
    assert "8 x 8" in detail


def test_the_smallest_image_is_8_x_8() -> None:
    assert take(Upload(saved(Image.new("L", (8, 8)), "PNG")), LIMIT).size == (8, 8)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_of_grey_need_a_window_first(kind: str) -> None:
    deep = Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 100)
    assert "window" in refused(saved(deep, kind), 422)


def test_floating_point_pixels_are_refused() -> None:
    refused(saved(Image.fromarray(np.eye(20, dtype=np.float32)), "TIFF"), 422)


def test_pixels_are_taken_as_they_are(picture: Image.Image) -> None:
    pixels = np.asarray(picture)
    taken = take(Upload(pixels), LIMIT)
    np.testing.assert_array_equal(taken.pixels, pixels)
    assert taken.sha256 == take(Upload(pixels.copy()), LIMIT).sha256


@pytest.mark.parametrize(
    ("pixels", "status"),
    [
        (np.zeros((20, 20, 4), np.uint8), 422),
        (np.zeros((20,), np.uint8), 422),
        (np.zeros((20, 20), np.float32), 422),
        (np.zeros((4, 20), np.uint8), 422),
        (np.zeros((0, 20), np.uint8), 422),
        (np.zeros((1001, 1000), np.uint8), 413),
    ],
)
def test_pixels_that_are_no_image_are_refused(pixels: np.ndarray, status: int) -> None:
    refused(pixels, status)


def dicom(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    with open(path, "rb") as file:
        return file.read()


def test_a_dicom_file_is_shown_in_the_window_of_the_model() -> None:
    content = dicom("CT_small.dcm")
    bone = take(Upload(content), LIMIT, (400.0, 1800.0)).pixels
    np.testing.assert_array_equal(bone, decode(content, window=(400.0, 1800.0)))
    assert not np.array_equal(bone, take(Upload(content), LIMIT, (40.0, 80.0)).pixels)


def test_dicom_of_too_many_pixels_frames_or_without_any_is_refused() -> None:
    refused(dicom("CT_small.dcm"), 413, limit=1000)
    assert "frames" in refused(dicom("examples_ybr_color.dcm"), 422, limit=10**9)
    assert "without pixels" in refused(dicom("rtplan.dcm"), 422)


def test_dicom_that_unpacks_to_any_size_is_refused_before_it_is_unpacked() -> None:
    assert "deflated" in refused(dicom("image_dfl.dcm"), 422)


def test_a_thousand_damaged_files_are_refused_or_decoded_and_nothing_else(
    picture: Image.Image, damaged: Callable[[bytes, random.Random], bytes]
) -> None:
    kinds = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
    whole = [saved(picture.convert("RGB"), kind) for kind in kinds]
    whole += [saved(picture.convert("CMYK"), "TIFF", compression="tiff_lzw")]
    whole += [saved(picture.quantize(4), "PNG"), dicom("CT_small.dcm"), dicom("MR_small_RLE.dcm")]
    dice = random.Random(20)
    outcomes = []
    for count in range(1000):
        content = damaged(whole[count % len(whole)], dice)
        try:
            outcomes.append(take(Upload(content), LIMIT).pixels.ndim)
        except Refusal as refusal:
            outcomes.append(refusal.status)
    assert set(outcomes) <= {2, 3, 413, 415, 422}
    assert {3, 415, 422} <= set(outcomes)


@pytest.fixture
def damaged() -> Callable[[bytes, random.Random], bytes]:
    """Return a function that damages a file: bytes changed, cut out, doubled, or its end lost."""

    def damage(content: bytes, dice: random.Random) -> bytes:
        data = bytearray(content)
        early = min(len(data), 400)  # where formats keep what they promise
        for _ in range(dice.randint(1, 8)):
            reach = early if dice.random() < 0.6 else len(data)
            place = dice.randrange(max(1, min(reach, len(data))))
            match dice.randrange(5):
                case 0:
                    data[place : place + 1] = bytes([dice.randrange(256)])
                case 1:
                    data[place : place + 4] = dice.choice([b"\xff\xff\xff\xff", b"\0\0\0\0"])
                case 2:
                    del data[place : place + dice.randint(1, 16)]
                case 3:
                    data[place:place] = data[place : place + dice.randint(1, 16)]
                case _ if dice.random() < 0.3:
                    del data[max(1, place) :]
        return bytes(data) or b"\0"

    return damage


def test_colours_of_16_bits_give_their_upper_8_bits() -> None:
    values = np.random.default_rng(2).integers(0, 2**16, (9, 10, 3), np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", 10, 9, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    np.testing.assert_array_equal(take(Upload(content), LIMIT).pixels, values >> 8)
