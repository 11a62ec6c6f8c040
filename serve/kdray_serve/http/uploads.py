"""What a request holds: images and fields, as multipart, as JSON, or as one image file alone."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from starlette.requests import Request

from kdray_serve.http.multipart import FormFile, Malformed, boundary_of, parse
from kdray_serve.refusal import Refusal
from kdray_serve.work import Upload, Wish

MULTIPART, JSON = "multipart/form-data", "application/json"
_RAW = ("application/dicom", "application/octet-stream")
_KINDS = (
    "Send an image as `multipart/form-data` (field `image`), as `application/json` "
    '({"images": ["<base64>"]}), or alone, as `image/*`, `application/dicom` or '
    "`application/octet-stream`."
)
_LONGEST_FIELD = 1000
#: Where no limit of the service is given.
_MOST_IMAGES = 1000
#: Longer than anybody waits; keeps the number within what clocks can add.
_LONGEST_MS = 86_400_000.0
_TRUE, _FALSE = ("true", "1"), ("false", "0", "")


@dataclass(frozen=True)
class Form:
    """What a request holds.

    Args:
        images: In the order of the request.
        fields: Name -> its values, words; those that stand in the address too.
    """

    images: tuple[Upload, ...]
    fields: Mapping[str, tuple[str, ...]]

    def one(self, name: str) -> str | None:
        """Return the word of a field; None where it is not there, or empty.

        Raises:
            Refusal: It is given more than once.
        """
        values = self.fields.get(name, ())
        if len(values) > 1:
            raise Refusal(422, f"The field {name!r} is given {len(values)} times; give it once.")
        return values[0] or None if values else None

    def flag(self, name: str) -> bool:
        """Return whether a field says ``true``.

        Raises:
            Refusal: It is neither true nor false.
        """
        word = (self.one(name) or "").lower()
        if word not in _TRUE + _FALSE:
            raise Refusal(422, f"The field {name!r} is {word!r}; it must be true or false.")
        return word in _TRUE

    def milliseconds(self, name: str) -> float | None:
        """Return the number of a field; None where it is not there.

        Raises:
            Refusal: It is no number above 0.
        """
        word = self.one(name)
        if word is None:
            return None
        try:
            number = float(word)
        except ValueError:
            number = math.nan
        if not 0 < number <= _LONGEST_MS:
            detail = f"The field {name!r} is {word!r}; it must be a number of milliseconds"
            raise Refusal(422, f"{detail} above 0 and at most {_LONGEST_MS:.0f}.")
        return number

    def wish(self, classes: Iterable[str]) -> Wish:
        """Return what is wanted of an explanation.

        Args:
            classes: The model's classes, which ``class=all`` stands for.

        Raises:
            Refusal: A field cannot be understood.
        """
        known, wanted = (
            tuple(classes),
            tuple(word for word in self.fields.get("class", ()) if word),
        )
        if wanted == ("all",) and "all" not in known:
            wanted = known
        if len(set(wanted)) < len(wanted):
            raise Refusal(422, "The field 'class' names a class twice; name each once.")
        return Wish(
            method=self.one("method"),
            classes=wanted,
            against=self.one("against"),
            deadline_ms=self.milliseconds("deadline_ms"),
        )


#: The fields of an explanation, beside its image.
WISHES = ("method", "class", "against", "deadline_ms", "raw")


async def read_form(request: Request, most: int, fields: tuple[str, ...] = ()) -> Form:
    """Return what a request holds.

    Args:
        request: The request; its body is read whole, which the gate limits.
        most: Images that it may hold; it must hold one at least.
        fields: Names of the fields that it may hold beside them, in the body or the address.

    Raises:
        Refusal: The request cannot be understood; says what is wrong.
    """
    kind = request.headers.get("content-type", "")
    body = await read_whole(request)
    form = read_body(kind, body, fields, most)
    if request.scope["query_string"]:
        form = Form(form.images, _with_query(form.fields, request, fields))
    if not form.images:
        raise Refusal(422, f"The field 'image' is missing: there is no image. {_KINDS}")
    return form


async def read_whole(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        Refusal: 415; it is compressed.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refusal(415, "The body is compressed; send it as it is.")
    return await request.body()


def read_body(
    kind: str, body: bytes, fields: tuple[str, ...] = (), most: int = _MOST_IMAGES
) -> Form:
    """Return what a body holds.

    Args:
        kind: The header ``Content-Type``.
        body: The bytes.
        fields: Names of the fields that it may hold beside images.
        most: Images that it may hold.

    Raises:
        Refusal: It cannot be understood; says what is wrong.
    """
    media_type = kind.partition(";")[0].strip().lower()
    if not body:
        raise Refusal(422, f"The request has no body. {_KINDS}")
    if media_type == MULTIPART:
        form = _of_multipart(kind, body, fields)
        _check_number(len(form.images), most)
        return form
    if media_type == JSON:
        return _of_json(body, most, fields)
    if media_type.startswith("image/") or media_type in _RAW:
        return Form((Upload(body),), {})
    given = f"is of the type {media_type!r}" if media_type else "has no Content-Type"
    raise Refusal(415, f"The body {given}. {_KINDS}")


def parsed_json(body: bytes) -> Any:
    """Return the value of a JSON body; a name that stands twice in an object is an error.

    Raises:
        Refusal: 400; it is no JSON.
    """
    try:
        return json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise Refusal(400, "The body is no JSON: it is not UTF-8.") from None
    except RecursionError:
        raise Refusal(
            400, "The body is no JSON that is read here: it is nested too deep."
        ) from None
    except ValueError as error:
        raise Refusal(400, f"The body is no JSON: {error}.") from None


def decoded(word: str, what: str) -> bytes:
    """Return the bytes of base64; line breaks may stand in it.

    Args:
        word: The base64.
        what: What to call it in errors.

    Raises:
        Refusal: 422; it is no base64.
    """
    try:
        return base64.b64decode(word, validate=True)
    except ValueError:
        pass
    try:
        return base64.b64decode("".join(word.split()), validate=True)
    except ValueError:
        hint = ", without `data:...,` before it" if word.startswith("data:") else ""
        detail = f"{what} is not base64; send the bytes of the file in base64{hint}."
        raise Refusal(422, detail) from None


def _of_multipart(kind: str, body: bytes, fields: tuple[str, ...]) -> Form:
    images: list[Upload] = []
    words: dict[str, tuple[str, ...]] = {}
    try:
        for part in parse(body, boundary_of(kind)):
            if part.name == "image":
                images.append(Upload(part.content, part.file_name))
            else:
                _known(part.name, ("image", *fields))
                words[part.name] = (*words.get(part.name, ()), _word(part))
    except Malformed as error:
        raise Refusal(400, f"The body is no multipart/form-data: {error}.") from None
    return Form(tuple(images), words)


def _of_json(body: bytes, most: int, fields: tuple[str, ...]) -> Form:
    tree = parsed_json(body)
    if not isinstance(tree, dict):
        raise Refusal(422, 'The JSON must be an object: {"images": ["<base64>"]}.')
    words: dict[str, tuple[str, ...]] = {}
    images: list[Upload] = []
    for name, value in tree.items():
        if name == "images":
            images = _of_list(value, most)
        else:
            _known(name, ("images", *fields))
            words[name] = _of_value(name, value)
    return Form(tuple(images), words)


def _of_list(value: Any, most: int) -> list[Upload]:
    if isinstance(value, list):
        _check_number(len(value), most)  # before any of them is decoded
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Refusal(422, "The field 'images' must be a list of strings, files in base64.")
    return [
        Upload(decoded(item, f"Image {place}" if len(value) > 1 else "The image"))
        for place, item in enumerate(value, 1)
    ]


def _of_value(name: str, value: Any) -> tuple[str, ...]:
    """Return the words that a JSON value stands for."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    words = []
    for item in values:
        if not isinstance(item, str | int | float):
            raise Refusal(422, f"The field {name!r} must be a string, a number or true or false.")
        words.append(_short(name, str(item).lower() if isinstance(item, bool) else str(item)))
    return tuple(words)


def _with_query(
    fields: Mapping[str, tuple[str, ...]], request: Request, known: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    both = dict(fields)
    for name in request.query_params:
        _known(name, known, "parameter in the address")
        if name in fields:
            raise Refusal(422, f"The field {name!r} is in the body and in the address.")
        both[name] = tuple(_short(name, word) for word in request.query_params.getlist(name))
    return both


def _word(part: FormFile) -> str:
    try:
        return _short(part.name, part.content.decode())
    except UnicodeDecodeError:
        raise Refusal(422, f"The field {part.name!r} is not UTF-8.") from None


def _short(name: str, word: str) -> str:
    if len(word) > _LONGEST_FIELD:
        raise Refusal(422, f"The field {name!r} has {len(word):,} characters; that is too long.")
    return word


def _known(name: str, names: tuple[str, ...], what: str = "field") -> None:
    if name not in names:
        there = f"There are: {', '.join(names)}." if names else "There are none."
        raise Refusal(422, f"There is no {what} {name[:100]!r} here. {there}")


def _check_number(images: int, most: int) -> None:
    if images > most:
        only = "one image" if most == 1 else f"at most {most} images"
        raise Refusal(422, f"The request has {images} images; {only} can be sent at once.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in pairs:
        if name in tree:
            raise Refusal(400, f"The JSON has the field {name[:100]!r} twice; give it once.")
        tree[name] = value
    return tree


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")
