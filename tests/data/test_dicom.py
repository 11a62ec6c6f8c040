from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from kdray.data import Dataset
from kdray.errors import DataError
from kdray.images import decode

Prepare = Callable[..., Dataset]
CT = np.arange(-1024, 1024, 8, dtype=np.int16).reshape(16, 16)  # Hounsfield units


def dicom(pixels: np.ndarray, **facts: Any) -> bytes:
    """Return a DICOM file of ``pixels`` ``[H, W]`` or ``[H, W, 3]``."""
    from pydicom.dataset import Dataset as Facts
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    image = Facts()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    image.SOPClassUID = SecondaryCaptureImageStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID
    image.Rows, image.Columns = pixels.shape[:2]
    image.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    image.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        image.PlanarConfiguration = 0
    image.BitsAllocated = image.BitsStored = 8 * pixels.dtype.itemsize
    image.HighBit = image.BitsStored - 1
    image.PixelRepresentation = int(pixels.dtype.kind == "i")
    image.PixelData = pixels.tobytes()
    for name, value in facts.items():
        setattr(image, name, value)
    stream = BytesIO()
    pydicom.dcmwrite(stream, image, enforce_file_format=True)
    return stream.getvalue()


def windowed(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Return the values by the pseudo-code of PS3.3 C.11.2.1.2.1, one by one."""
    shown = np.empty(values.shape)
    for place, x in np.ndenumerate(values):
        if x <= centre - 0.5 - (width - 1) / 2:
            shown[place] = 0
        elif x > centre - 0.5 + (width - 1) / 2:
            shown[place] = 255
        else:
            shown[place] = ((x - (centre - 0.5)) / (width - 1) + 0.5) * 255
    return np.rint(shown)


def test_the_window_of_the_file_is_used() -> None:
    found = decode(dicom(CT, WindowCenter=40, WindowWidth=400))
    np.testing.assert_array_equal(found, windowed(CT, 40, 400))


def test_the_first_of_several_windows_is_used() -> None:
    found = decode(dicom(CT, WindowCenter=[40, 500], WindowWidth=[400, 900]))
    np.testing.assert_array_equal(found, windowed(CT, 40, 400))


def test_a_given_window_comes_before_that_of_the_file() -> None:
    data = dicom(CT, WindowCenter=40, WindowWidth=400)
    np.testing.assert_array_equal(decode(data, window=(-600, 1500)), windowed(CT, -600, 1500))


def test_slope_and_intercept_are_applied_before_the_window() -> None:
    stored = ((CT + 1024) // 2).astype(np.uint16)
    data = dicom(stored, RescaleSlope=2, RescaleIntercept=-1024)
    np.testing.assert_array_equal(decode(data, window=(40, 400)), windowed(CT, 40, 400))


def test_without_a_window_all_values_are_shown() -> None:
    found = decode(dicom(CT))
    assert (found.min(), found.max()) == (0, 255)
    assert (np.diff(found.astype(int).ravel()) >= 0).all()


def test_eight_bits_without_a_window_stay_as_they_are() -> None:
    pixels = np.arange(60, 124, dtype=np.uint8).reshape(8, 8)
    np.testing.assert_array_equal(decode(dicom(pixels)), pixels)


def test_monochrome1_is_inverted() -> None:
    facts = {"WindowCenter": 40, "WindowWidth": 400}
    plain = decode(dicom(CT, **facts)).astype(int)
    inverted = decode(dicom(CT, PhotometricInterpretation="MONOCHROME1", **facts))
    assert abs(inverted - (255 - plain)).max() <= 1


def test_a_sigmoid_window_is_middle_grey_at_its_centre() -> None:
    facts = {"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "SIGMOID"}
    found = decode(dicom(CT, **facts))
    expected = np.rint(255 / (1 + np.exp(-4 * (CT - 40.0) / 400)))
    np.testing.assert_array_equal(found, expected)


def test_colours_are_kept() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode(dicom(pixels)), pixels)


def test_nothing_is_read_but_what_pixels_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = pydicom.dcmread

    def reading(*given: Any, **options: Any) -> Any:
        seen.append(real(*given, **options))
        return seen[-1]

    monkeypatch.setattr(pydicom, "dcmread", reading)
    decode(dicom(CT, PatientName="Doe^Jane", WindowCenter=40, WindowWidth=400))
    assert "PatientName" not in seen[0]
    assert seen[0].WindowCenter == 40


@pytest.mark.parametrize("name", ["JPEGLSNearLossless_08.dcm", "JPGExtended.dcm"])
def test_a_compression_that_is_not_decoded_here_is_named(name: str) -> None:
    content = Path(str(get_testdata_file(name))).read_bytes()
    with pytest.raises(DataError, match="cannot be decoded") as found:
        decode(content)
    assert "JPEG" in found.value.problem
    assert " at 0x" not in found.value.problem


def test_several_frames_are_refused() -> None:
    stack = np.zeros((4, 4), dtype=np.uint8)
    data = dicom(stack, NumberOfFrames=3, PixelData=bytes(48))
    with pytest.raises(DataError, match=r"3 frames\. Save each frame as its own file"):
        decode(data)


def test_too_many_pixels_are_refused_before_decoding() -> None:
    with pytest.raises(DataError, match="256 pixels, more than 255"):
        decode(dicom(CT), max_pixels=255)


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:140] + b"\1\2\3"])
def test_a_broken_file_is_a_data_error(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DataError, match=r"DICOM"):
        decode(damage(dicom(CT)))


def test_dicom_files_in_a_folder_are_images_shown_through_the_jobs_window(
    prepared: Prepare, tmp_path: Path
) -> None:
    for label in ("a", "b"):
        (tmp_path / "raw" / label).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "raw" / label / f"{number}.dcm").write_bytes(dicom(CT + number))
    fields = {"image_size": 16, "duplicates": {"check": "none"}}
    dataset = prepared(window={"center": 40.0, "width": 400.0}, splits={"val": 0.3}, **fields)
    found = dataset.images([dataset.ids.index("a/2.dcm")])[0, :, :, 0]
    np.testing.assert_array_equal(found, windowed(CT + 2, 40, 400))
