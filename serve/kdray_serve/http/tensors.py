"""Tensors of the Open Inference Protocol v2, as JSON and in the binary form of its extension."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from kdray_serve.http.uploads import decoded, parsed_json
from kdray_serve.refusal import Refusal
from kdray_serve.work import Upload

_KINDS = {"FP32": np.dtype("<f4"), "BOOL": np.dtype("?")}
_INPUTS = "`image` (BYTES [B]: image files) or `pixels` (UINT8 [B, H, W, c])"


@dataclass(frozen=True)
class Asked:
    """An inference request.

    Args:
        images: The images of its input tensor, ``B``.
        id: Names the request; to be returned.
        parameters: Of the whole request.
        outputs: Wanted outputs -> whether in binary; empty: all.
        is_binary: Whether outputs are wanted in binary where ``outputs`` does not say.
    """

    images: tuple[Upload, ...]
    id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, bool] = field(default_factory=dict)
    is_binary: bool = False


@dataclass(frozen=True)
class Output:
    """A tensor of an answer.

    Args:
        name: Of the tensor.
        datatype: ``FP32``, ``BOOL`` or ``BYTES``.
        values: The numbers; for BYTES, rows of texts.
        shape: Of the tensor.
    """

    name: str
    datatype: str
    values: NDArray[Any] | Sequence[str]
    shape: tuple[int, ...]

    def facts(self) -> dict[str, Any]:
        """Return the tensor without its values."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}

    def flat(self) -> list[Any]:
        """Return the values for JSON, row by row; null where a number is not finite."""
        if not isinstance(self.values, np.ndarray):
            return list(self.values)
        numbers: list[Any] = self.values.ravel().tolist()
        if self.datatype == "FP32" and not np.isfinite(self.values).all():
            return [number if math.isfinite(number) else None for number in numbers]
        return numbers

    def binary(self) -> bytes:
        """Return the values in binary, row by row, little-endian; texts with their length."""
        if isinstance(self.values, np.ndarray):
            return np.ascontiguousarray(self.values, _KINDS[self.datatype]).tobytes()
        texts = [text.encode() for text in self.values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def read_request(body: bytes, header_length: str | None, most: int) -> Asked:
    """Return what an inference request asks for.

    Args:
        body: Of the request: JSON, with binary data behind it where ``header_length`` says so.
        header_length: ``Inference-Header-Content-Length``: bytes of the JSON.
        most: Images that it may hold.

    Raises:
        Refusal: 400; says what is not as in the protocol.
    """
    text, data = _parted(body, header_length)
    request = _object(parsed_json(text), "The request")
    parameters = _object(request.get("parameters", {}), "`parameters`")
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1:
        _refuse(f"The request needs one input: {_INPUTS}.")
    is_binary = parameters.get("binary_data_output") is True
    return Asked(
        images=tuple(_images(_object(inputs[0], "An input"), data, most)),
        id=str(request.get("id", "")),
        parameters=parameters,
        outputs=_wanted(request.get("outputs", []), is_binary),
        is_binary=is_binary,
    )


def write_response(
    facts: Mapping[str, Any], outputs: Iterable[Output], asked: Asked
) -> tuple[bytes, dict[str, str]]:
    """Return the body of an answer and the headers that tell its form.

    Args:
        facts: What stands beside the outputs.
        outputs: The tensors there are.
        asked: Which of them are wanted, and how.

    Raises:
        Refusal: 400; a wanted output is not there.
    """
    there = {output.name: output for output in outputs}
    for name in asked.outputs:
        if name not in there:
            _refuse(f"There is no output {name!r} here. There are: {', '.join(there)}.")
    names = asked.outputs or dict.fromkeys(there, asked.is_binary)
    blobs, tensors = [], []
    for name, in_binary in names.items():
        tensor = there[name].facts()
        if in_binary:
            blobs.append(there[name].binary())
            tensor["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            tensor["data"] = there[name].flat()
        tensors.append(tensor)
    text = json.dumps({**facts, "outputs": tensors}).encode()
    if not blobs:
        return text, {"Content-Type": "application/json"}
    headers = {"Inference-Header-Content-Length": str(len(text))}
    return b"".join([text, *blobs]), {**headers, "Content-Type": "application/octet-stream"}


def pixels_of(values: Any, what: str) -> NDArray[np.uint8]:
    """Return nested lists of whole numbers from 0 to 255 as an array.

    Args:
        values: The lists.
        what: Names them in messages.

    Raises:
        Refusal: 400; they are no such lists, or their lengths differ.
    """
    # Of objects first: NumPy would give each of many short texts the room of the longest.
    array = np.asarray(values, dtype=object)
    if set(map(type, array.flat)) != {int} or array.min() < 0 or array.max() > 255:
        _refuse(f"{what}: send whole numbers from 0 to 255, in lists of equal lengths.")
    return array.astype(np.uint8)


def file_of(text: Any, what: str) -> bytes:
    """Return the bytes of a base64 text.

    Args:
        text: The text.
        what: Names it in messages.

    Raises:
        Refusal: It is none.
    """
    if not isinstance(text, str):
        _refuse(f"{what} must be text: the image file in base64.")
    return decoded(text, what)


def read_json(body: bytes) -> dict[str, Any]:
    """Return the object that a body of JSON holds.

    Raises:
        Refusal: It holds none.
    """
    return _object(parsed_json(body), "The request")


def _parted(body: bytes, header_length: str | None) -> tuple[bytes, bytes | None]:
    """Return the JSON of a body, and the binary data behind it."""
    if header_length is None:
        return body, None
    is_length = re.fullmatch(r"[0-9]{1,18}", header_length) is not None
    if not is_length or int(header_length) > len(body):
        _refuse("Inference-Header-Content-Length is not the length of the JSON in the body.")
    end = int(header_length)
    return body[:end], body[end:]


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(f"{what} must be a JSON object.")
    return value


def _wanted(outputs: Any, is_binary: bool) -> dict[str, bool]:
    if not isinstance(outputs, list):
        _refuse("`outputs` must be a list.")
    wanted = {}
    for output in outputs:
        parameters = _object(_object(output, "An output").get("parameters", {}), "`parameters`")
        if parameters.get("classification"):
            _refuse("The classification extension is not offered: ask for `label`.")
        wanted[str(output.get("name"))] = bool(parameters.get("binary_data", is_binary))
    return wanted


def _images(tensor: dict[str, Any], data: bytes | None, most: int) -> list[Upload]:
    name, datatype, shape = (tensor.get(key) for key in ("name", "datatype", "shape"))
    if not isinstance(shape, list) or not all(type(side) is int and side > 0 for side in shape):
        _refuse("`shape` must be a list of whole numbers above 0.")
    if shape and shape[0] > most:
        _refuse(f"The request has {shape[0]} images; at most {most} can be sent.")
    blob = _blob(_object(tensor.get("parameters", {}), "`parameters`"), data)
    if blob is None and "data" not in tensor:
        _refuse(f"The input {name!r} has no `data`.")
    if (name, datatype) == ("image", "BYTES"):
        return _files(shape, tensor.get("data"), blob)
    if (name, datatype) == ("pixels", "UINT8"):
        return _arrays(shape, tensor.get("data"), blob)
    _refuse(f"There is no input {name!r} of {datatype}. Send {_INPUTS}.")


def _blob(parameters: dict[str, Any], data: bytes | None) -> bytes | None:
    """Return the binary data of an input; None where it is in the JSON."""
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if data is None:
        _refuse("Binary data needs the header Inference-Header-Content-Length.")
    if type(size) is not int or size != len(data):
        _refuse(f"binary_data_size is {size}, but {len(data)} bytes follow the JSON.")
    return data


def _files(shape: list[int], values: Any, blob: bytes | None) -> list[Upload]:
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        _refuse("`image` has the shape [B]: one image file for each image.")
    if blob is not None:
        files = _lengths_cut(blob)
    else:
        texts = _flattened(values)
        files = [file_of(text, f"Image {place}") for place, text in enumerate(texts, start=1)]
    if len(files) != shape[0]:
        _refuse(f"`image` has the shape {shape}, but {len(files)} elements.")
    return [Upload(file) for file in files]


def _flattened(values: Any) -> list[Any]:
    if not isinstance(values, list):
        _refuse("`data` must be a list.")
    return [item for value in values for item in (value if isinstance(value, list) else [value])]


def _lengths_cut(blob: bytes) -> list[bytes]:
    """Return the elements of a BYTES tensor: 4 bytes of length before each, little-endian."""
    elements, place = [], 0
    while place < len(blob):
        if place + 4 > len(blob):
            _refuse("The binary data ends within the length of an element.")
        (length,) = struct.unpack_from("<I", blob, place)
        place += 4
        if place + length > len(blob):
            _refuse("The binary data ends within an element.")
        elements.append(blob[place : place + length])
        place += length
    return elements


def _arrays(shape: list[int], values: Any, blob: bytes | None) -> list[Upload]:
    if len(shape) != 4 or shape[3] not in (1, 3):
        _refuse("`pixels` has the shape [B, H, W, c], with 1 (grey) or 3 (RGB) for c.")
    if blob is not None:
        array = np.frombuffer(blob, np.uint8)
    else:
        array = pixels_of(values, "pixels")
    if array.size != math.prod(shape):
        _refuse(f"`pixels` has the shape {shape}, but {array.size} values.")
    images = array.reshape(shape)
    if shape[3] == 1:
        images = images[:, :, :, 0]
    return [Upload(np.ascontiguousarray(image)) for image in images]


def _refuse(detail: str) -> NoReturn:
    raise Refusal(400, detail)
