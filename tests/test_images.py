from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from kdray.errors import DataError
from kdray.images import decode, decode_mask, fit, fit_mask

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)


def encode(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_a_lossless_grey_image_keeps_its_pixels(form: str) -> None:
    np.testing.assert_array_equal(decode(encode(Image.fromarray(GREY), form)), GREY)


def test_a_colour_image_keeps_its_pixels() -> None:
    np.testing.assert_array_equal(decode(encode(Image.fromarray(COLOUR))), COLOUR)


def test_alpha_is_left_out() -> None:
    image = Image.fromarray(COLOUR).convert("RGBA")
    image.putalpha(7)
    np.testing.assert_array_equal(decode(encode(image)), COLOUR)


def test_a_palette_becomes_its_colours() -> None:
    image = Image.fromarray(COLOUR).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
    np.testing.assert_array_equal(decode(encode(image)), np.asarray(image.convert("RGB")))


def test_one_bit_becomes_black_and_white() -> None:
    image = Image.fromarray(GREY > 100)
    np.testing.assert_array_equal(decode(encode(image)), np.where(GREY > 100, 255, 0))


def test_a_photo_taken_sideways_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    sideways = encode(Image.fromarray(GREY), "PNG", exif=exif.tobytes())
    np.testing.assert_array_equal(decode(sideways), np.rot90(GREY, -1))


def test_sixteen_bit_images_are_refused_not_cut() -> None:
    deep = Image.fromarray(GREY.astype(np.uint16) * 100)
    with pytest.raises(DataError, match="not of 8 bits"):
        decode(encode(deep))


def test_a_stack_of_frames_is_refused() -> None:
    image = Image.fromarray(GREY)
    with pytest.raises(DataError, match="holds several frames"):
        decode(encode(image, "TIFF", save_all=True, append_images=[image]))


@pytest.mark.parametrize("data", [b"", b"no image", encode(Image.fromarray(COLOUR))[:60]])
def test_broken_bytes_are_a_data_error(data: bytes) -> None:
    with pytest.raises(DataError, match="cannot be decoded"):
        decode(data)


def test_bytes_of_no_known_format_get_the_same_sentence_each_time() -> None:
    with pytest.raises(DataError) as found:
        decode(b"no image")
    assert found.value.problem == "cannot be decoded: its format is unknown."


def test_too_many_pixels_are_refused() -> None:
    data = encode(Image.fromarray(GREY))
    assert decode(data, max_pixels=12).shape == (3, 4)
    with pytest.raises(DataError, match="12 pixels, more than 11"):
        decode(data, max_pixels=11)


def test_an_image_of_the_right_size_is_left_as_it_is() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    np.testing.assert_array_equal(fit(image, 4, 1)[:, :, 0], image)


def test_grey_is_repeated_over_three_channels() -> None:
    fitted = fit(GREY, 5, 3)
    assert fitted.shape == (5, 5, 3)
    assert (fitted == fitted[:, :, :1]).all()


def test_colour_becomes_luma_of_itu_r_601() -> None:
    red = np.zeros((4, 4, 3), dtype=np.uint8)
    red[:, :, 0] = 200
    assert fit(red, 4, 1)[0, 0, 0] == round(0.299 * 200)


def test_resizing_is_antialiased() -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    small = fit(stripes, 8, 1)[:, 1:-1]
    assert abs(small.astype(int) - 127).max() <= 12


def test_an_oblong_is_squashed_to_a_square() -> None:
    halves = np.zeros((10, 40), dtype=np.uint8)
    halves[:, 20:] = 200
    small = fit(halves, 10, 1)[:, :, 0]
    assert (small[:, :4] == 0).all()
    assert (small[:, 6:] == 200).all()


def test_a_mask_is_whatever_is_not_zero() -> None:
    mask = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    np.testing.assert_array_equal(decode_mask(encode(Image.fromarray(mask))), mask > 0)


def test_a_jpeg_mask_is_cut_in_the_middle() -> None:
    mask = np.zeros((16, 16), dtype=np.uint8)
    mask[:, 8:] = 255
    found = decode_mask(encode(Image.fromarray(mask), "JPEG", quality=50))
    np.testing.assert_array_equal(found, mask > 0)


def test_a_fitted_mask_has_no_values_in_between() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[3:, 2:] = True
    assert set(np.unique(fit_mask(mask, 5))) == {0, 1}
