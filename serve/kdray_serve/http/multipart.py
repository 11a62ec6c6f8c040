"""``multipart/form-data`` (RFC 7578) from a body that is there as a whole.

The gate has limited the body, so there is nothing to gain from reading it piece by piece: to find
the boundary takes microseconds where a streaming parser takes a call for each piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

#: More are not sent by honest clients; it bounds the work for tiny parts.
_MOST_PARTS = 2000
_LONGEST_HEADER = 8 * 1024
_LONGEST_NAME = 200
_BOUNDARY = re.compile(r""";\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))""", re.IGNORECASE)
_BCHARS = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
#: ``name="x"``, ``name=x``, ``filename*=UTF-8''x``; quotes inside are ``\"`` or ``%22``.
_PARAMETER = re.compile(rb';[ \t]*([A-Za-z]+\*?)[ \t]*=[ \t]*(?:"((?:\\"|[^"])*)"|([^\s;"]*))')
_PLAIN = (b"", b"binary", b"8bit", b"7bit")


class Malformed(Exception):
    """The body is no multipart/form-data; the text says why."""


@dataclass(frozen=True)
class FormFile:
    """A part of a form.

    Args:
        name: Name of the field.
        content: Its bytes.
        file_name: What the client calls the file, without folders; empty where it is no file.
    """

    name: str
    content: bytes
    file_name: str = ""


def boundary_of(kind: str) -> bytes:
    """Return the boundary in a ``Content-Type``.

    Raises:
        Malformed: There is none, or none that RFC 2046 allows.
    """
    found = _BOUNDARY.findall(kind)
    if len(found) != 1:
        raise Malformed(
            "its Content-Type has no boundary" if not found else "it has two boundaries"
        )
    boundary: str = found[0][0] or found[0][1]
    if not _BCHARS.fullmatch(boundary):
        raise Malformed("its boundary is not as RFC 2046 allows")
    return boundary.encode()


def parse(body: bytes, boundary: bytes) -> Iterator[FormFile]:
    """Yield the parts of a body, in their order.

    Raises:
        Malformed: The body is not as RFC 7578 says.
    """
    delimiter = b"\r\n--" + boundary
    start = len(delimiter) - 2
    if not body.startswith(delimiter[2:]):
        at = body.find(delimiter)  # a preamble, which nobody reads
        if at < 0:
            raise Malformed("its boundary does not stand in it")
        start = at + len(delimiter)
    for _ in range(_MOST_PARTS):
        if body.startswith(b"--", start):
            if body[start + 2 :].strip():
                raise Malformed("something follows its end")
            return
        begin = _line_end(body, start)
        end = body.find(delimiter, begin - 2)
        if end < 0:
            raise Malformed("its end is missing")
        yield _part(body, begin, end)
        start = end + len(delimiter)
    raise Malformed(f"it has more than {_MOST_PARTS} parts")


def _line_end(body: bytes, start: int) -> int:
    """Return where the line after a boundary begins; white space may follow the boundary."""
    end = body.find(b"\r\n", start)
    if end < 0 or body[start:end].strip(b" \t"):
        raise Malformed("its boundary stands inside a part, or lines do not end with CR LF")
    return end + 2


def _part(body: bytes, begin: int, end: int) -> FormFile:
    stop = body.find(b"\r\n\r\n", begin, min(end, begin + _LONGEST_HEADER))
    if stop < 0:
        raise Malformed("a part has no header, or one that is too long")
    name, file_name = _names(body[begin:stop])
    return FormFile(name, body[stop + 4 : end], file_name)


def _names(header: bytes) -> tuple[str, str]:
    """Return the name of a part's field and of its file."""
    disposition = b""
    for line in header.split(b"\r\n"):
        key, colon, value = line.partition(b":")
        if not colon:
            raise Malformed("a header of a part has no colon")
        key = key.strip().lower()
        if key == b"content-disposition":
            disposition = value.strip()
        elif key == b"content-transfer-encoding" and value.strip().lower() not in _PLAIN:
            raise Malformed("a part is encoded; send its bytes as they are")
    if not disposition.lower().startswith(b"form-data"):
        raise Malformed("a part has no `Content-Disposition: form-data`")
    return _parameters(disposition)


def _parameters(disposition: bytes) -> tuple[str, str]:
    found: dict[bytes, bytes] = {}
    for key, quoted, plain in _PARAMETER.findall(disposition):
        if key.lower() in found:
            raise Malformed("a part has two names")
        found[key.lower()] = quoted or plain
    if b"name" not in found:
        raise Malformed("a part has no name")
    try:
        name = _unescaped(found[b"name"].decode())
    except UnicodeDecodeError:
        raise Malformed("the name of a field is not UTF-8") from None
    extended = found.get(b"filename*", b"")
    if extended.lower().startswith(b"utf-8'"):
        given = unquote(extended.split(b"'", 2)[-1].decode("utf-8", "replace"), errors="replace")
    else:
        given = _unescaped(found.get(b"filename", b"").decode("utf-8", "replace"))
    return name, _without_folders(given)


def _unescaped(text: str) -> str:
    escapes = (('\\"', '"'), ("%22", '"'), ("%0D", ""), ("%0A", ""))
    for escape, meant in escapes:
        text = text.replace(escape, meant)
    return text


def _without_folders(name: str) -> str:
    """Return the last part of a path, of any system, without what cannot be shown."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(sign for sign in last if sign.isprintable())[:_LONGEST_NAME]
