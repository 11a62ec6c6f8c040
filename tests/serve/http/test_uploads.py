"""What a request holds: multipart as clients write it, JSON, files alone; and what is refused."""

from __future__ import annotations

import base64
import json
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.policy import HTTP

import httpx
import pytest

from kdray_serve.http.multipart import FormFile, Malformed, boundary_of, parse
from kdray_serve.http.uploads import WISHES, Form, _once, read_body
from kdray_serve.refusal import Refusal
from kdray_serve.work import Upload

#: Bytes that look like the syntax around them.
NASTY = b"\x00\xff--b\r\n--\r\n\r\n\n--bound" + bytes(range(256))


def part(disposition: str, content: bytes, *more: str) -> bytes:
    lines = [f"Content-Disposition: {disposition}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def body(*parts: bytes, boundary: str = "bound-1") -> bytes:
    edge = b"--" + boundary.encode()
    return b"".join(edge + b"\r\n" + one + b"\r\n" for one in parts) + edge + b"--\r\n"


def form(*parts: bytes, fields: tuple[str, ...] = ()) -> Form:
    return read_body("multipart/form-data; boundary=bound-1", body(*parts), fields)


def refused(status: int, *given: object) -> str:
    with pytest.raises(Refusal) as refusal:
        read_body(*given)  # type: ignore[arg-type]
    assert refusal.value.status == status
    return refusal.value.detail


def test_parts_come_in_their_order_with_their_bytes_unchanged() -> None:
    sent = [
        part('form-data; name="image"; filename="a.png"', NASTY, "Content-Type: image/png"),
        part('form-data; name="method"', b"gradcam"),
        part('form-data; name="image"; filename="b.png"', b""),
    ]
    got = form(*sent, fields=WISHES)
    assert got.images == (Upload(NASTY, "a.png"), Upload(b"", "b.png"))
    assert got.one("method") == "gradcam"


@pytest.mark.parametrize(
    "content", [b"", b"\r\n", b"\r\n\r\n", b"--", b"-", b"\r\n--bound-", b"\n"]
)
def test_contents_at_the_edge_of_the_syntax_stay_whole(content: bytes) -> None:
    assert form(part('form-data; name="image"', content)).images == (Upload(content),)


def test_what_httpx_writes_is_read() -> None:
    request = httpx.Request(
        "POST",
        "http://x",
        files=[("image", ('a "scan".png', NASTY)), ("image", ("ü.png", b"2"))],
        data={"class": ["glioma", "no tumor"], "method": "gradcam"},
    )
    request.read()
    got = read_body(request.headers["content-type"], request.content, WISHES)
    assert got.images == (Upload(NASTY, 'a "scan".png'), Upload(b"2", "ü.png"))
    assert got.fields["class"] == ("glioma", "no tumor")


def test_what_the_standard_library_writes_is_read() -> None:
    message = MIMEMultipart("form-data", boundary="==a b==")
    image = MIMEApplication(b"scan", "octet-stream", lambda _part: None)
    image.add_header("Content-Disposition", "form-data", name="image", filename="ä.png")
    message.attach(image)
    head, _, content = message.as_bytes(policy=HTTP).partition(b"\r\n\r\n")
    assert b'boundary="==a b=="' in head
    assert read_body('multipart/form-data; boundary="==a b=="', content).images == (
        Upload(b"scan", "ä.png"),
    )


def test_a_preamble_is_passed_over() -> None:
    sent = b"who reads this\r\n" + body(part('form-data; name="image"', b"scan"))
    assert [one.content for one in parse(sent, b"bound-1")] == [b"scan"]


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        ('form-data; name="image"; filename="a.png"', "a.png"),
        ("form-data; name=image; filename=a.png", "a.png"),
        ('FORM-DATA;NAME="image";FileName="a.png"', "a.png"),
        ('form-data; filename="a.png"; name="image"', "a.png"),
        (r'form-data; name="image"; filename="C:\scans\a.png"', "a.png"),
        ('form-data; name="image"; filename="../../etc/passwd"', "passwd"),
        ('form-data; name="image"; filename="a%22b.png"', 'a"b.png'),
        (r'form-data; name="image"; filename="a\"b.png"', 'a"b.png'),
        ('form-data; name="image"; filename="a; name=x.png"', "a; name=x.png"),
        ("form-data; name=image; filename=x; filename*=UTF-8''%e2%82%ac.png", "€.png"),
        ('form-data; name="image"; filename="a\x00\x1b\x7fb.png"', "ab.png"),
        (f'form-data; name="image"; filename="{"x" * 999}"', "x" * 200),
        ('form-data; name="image"; filename=""', ""),
        ('form-data; name="image"', ""),
    ],
)
def test_names_of_files_are_read_without_folders(disposition: str, expected: str) -> None:
    [got] = form(part(disposition, b"scan")).images
    assert got == Upload(b"scan", expected)


def test_a_name_of_a_file_that_is_not_utf8_is_shown_as_far_as_it_can_be() -> None:
    sent = b'Content-Disposition: form-data; name="image"; filename="\xfc.png"\r\n\r\nscan'
    assert form(sent).images[0].name == "\ufffd.png"


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; boundary="a b"', b"a b"),
        ("multipart/form-data; charset=utf-8; BOUNDARY=abc; x=y", b"abc"),
        ("multipart/form-data;boundary=----WebKitFormBoundary7M", b"----WebKitFormBoundary7M"),
    ],
)
def test_boundaries_are_read(kind: str, boundary: bytes) -> None:
    assert boundary_of(kind) == boundary


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        'multipart/form-data; boundary="ends "',
        f"multipart/form-data; boundary={'x' * 71}",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=ä",
    ],
)
def test_wrong_boundaries_are_refused(kind: str) -> None:
    with pytest.raises(Malformed, match="boundar"):
        boundary_of(kind)


GOOD = part('form-data; name="image"', b"scan")
EDGE = b"--bound-1"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"\r\n", "does not stand"),
        (b"scan", "does not stand"),
        (EDGE, "CR LF"),
        (EDGE + b"\r\n", "end is missing"),
        (EDGE + b"\r\n" + GOOD, "end is missing"),
        (EDGE + b"\r\n" + GOOD + b"\r\n" + EDGE, "CR LF"),
        (EDGE + b"\r\n" + GOOD + b"\r\n" + EDGE + b"-", "CR LF"),
        (body(GOOD) + b"trailing", "follows its end"),
        (body(GOOD) + body(GOOD), "follows its end"),
        (body(GOOD).replace(b"\r\n", b"\n"), "CR LF"),
        (body(GOOD).replace(EDGE + b"\r\n", EDGE + b"more\r\n"), "CR LF"),
        (body(b""), "no header"),
        (body(b"scan"), "no header"),
        (body(b"X: " + b"x" * 9000 + b"\r\n\r\nscan"), "too long"),
        (body(b"no colon\r\n\r\nscan"), "no colon"),
        (body(b"Content-Type: image/png\r\n\r\nscan"), "no `Content-Disposition"),
        (body(part('attachment; name="image"', b"")), "no `Content-Disposition"),
        (body(part('form-data; filename="a.png"', b"")), "no name"),
        (body(part('form-data; name="image"; name="x"', b"")), "two names"),
        (body(b'Content-Disposition: form-data; name="\xff"\r\n\r\n'), "not UTF-8"),
        (
            body(
                part('form-data; name="image"', b"c2Nhbg==", "Content-Transfer-Encoding: base64")
            ),
            "encoded",
        ),
        (body(*[GOOD] * 2001), "more than 2000 parts"),
    ],
)
def test_a_malformed_form_is_400_and_says_why(sent: bytes, said: str) -> None:
    assert said in refused(400, "multipart/form-data; boundary=bound-1", sent, WISHES)


def test_every_cut_of_a_form_is_refused_and_never_a_fault() -> None:
    whole = body(part('form-data; name="image"; filename="a.png"', b"scan"), GOOD)
    for end in range(1, len(whole) - 2):  # the last line end may be missing
        refused(400, "multipart/form-data; boundary=bound-1", whole[:end])


def test_a_field_that_is_not_known_is_named() -> None:
    sent = body(GOOD, part('form-data; name="clas"', b"glioma"))
    detail = refused(422, "multipart/form-data; boundary=bound-1", sent, WISHES)
    assert "'clas'" in detail
    assert "image, method, class" in detail


def test_a_field_that_is_not_utf8_is_refused() -> None:
    sent = body(GOOD, part('form-data; name="class"', b"\xff"))
    detail = refused(422, "multipart/form-data; boundary=bound-1", sent, WISHES)
    assert "'class' is not UTF-8" in detail


def test_images_in_json_are_base64_also_with_line_breaks() -> None:
    plain, wrapped = base64.b64encode(NASTY).decode(), base64.encodebytes(NASTY).decode()
    got = read_body("application/json", json.dumps({"images": [plain, wrapped]}).encode())
    assert [image.content for image in got.images] == [NASTY, NASTY]


def test_too_many_images_are_refused_before_one_is_decoded() -> None:
    many = json.dumps({"images": ["?"] * 17}).encode()
    with pytest.raises(Refusal, match="17 images"):
        read_body("application/json", many, most=16)


def test_a_name_that_stands_twice_is_found_in_one_pass() -> None:
    class Counted(str):
        compared = 0

        def __hash__(self) -> int:
            return super().__hash__()

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return super().__eq__(other)

    names = [Counted(number) for number in (*range(1000), 999)]
    with pytest.raises(Refusal, match="'999' twice"):
        _once([(name, 0) for name in names])
    assert Counted.compared < 3000


def test_fields_in_json_are_words_numbers_flags_and_lists() -> None:
    tree = {"images": [""], "class": ["a", "b"], "deadline_ms": 12.5, "raw": True, "method": None}
    got = read_body("application/json; charset=utf-8", json.dumps(tree).encode(), WISHES)
    assert got.fields["class"] == ("a", "b")
    assert (got.milliseconds("deadline_ms"), got.flag("raw"), got.one("method")) == (
        12.5,
        True,
        None,
    )


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"{", 400, "no JSON"),
        (b"{} trailing", 400, "Extra data"),
        (b'{"images": ["\xff"]}', 400, "not UTF-8"),
        (b"\xef\xbb\xbf{}", 400, "no JSON"),
        (b'{"images": [NaN]}', 400, "NaN is no number"),
        (b'{"images": [-Infinity]}', 400, "Infinity is no number"),
        (b'{"images": [], "images": []}', 400, "'images' twice"),
        (b"[" * 100_000, 400, "nested too deep"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 400, "nested too deep"),
        (b'{"images": [' + b"9" * 5000 + b"]}", 400, "no JSON"),
        (b"[]", 422, "must be an object"),
        (b"null", 422, "must be an object"),
        (b'{"images": "c2Nhbg=="}', 422, "must be a list"),
        (b'{"images": [1]}', 422, "must be a list"),
        (b'{"images": ["c2Nhbg="]}', 422, "The image is not base64"),
        (b'{"images": ["c2Nhbg==", "?"]}', 422, "Image 2 is not base64"),
        (b'{"images": ["\xc3\xa4"]}', 422, "not base64"),
        (b'{"images": ["data:image/png;base64,c2Nhbg=="]}', 422, "without `data:"),
        (b'{"image": "c2Nhbg=="}', 422, "no field 'image'"),
        (b'{"images": [], "class": {"a": 1}}', 422, "'class' must be"),
        (b'{"images": [], "class": [["a"]]}', 422, "'class' must be"),
        (b'{"images": [], "class": "%s"}' % (b"x" * 2000), 422, "too long"),
    ],
)
def test_wrong_json_is_refused_and_says_why(sent: bytes, status: int, said: str) -> None:
    assert said in refused(status, "application/json", sent, WISHES)


@pytest.mark.parametrize(
    "kind", ["image/png", "IMAGE/JPEG", "application/dicom", "application/octet-stream; x=y"]
)
def test_a_file_may_be_sent_alone(kind: str) -> None:
    assert read_body(kind, NASTY).images == (Upload(NASTY),)


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "a" * 999]
)
def test_a_body_of_another_type_is_415_and_says_what_is_taken(kind: str) -> None:
    assert "multipart/form-data" in refused(415, kind, b"scan")


@pytest.mark.parametrize("kind", ["", "image/png", "application/json", "multipart/form-data"])
def test_no_body_is_422(kind: str) -> None:
    assert "no body" in refused(422, kind, b"")


def fields(**words: str) -> Form:
    return Form((), {name: (word,) for name, word in words.items()})


@pytest.mark.parametrize(
    "word", ["nan", "inf", "-inf", "0", "-1", "1e99", "soon", "86400001", "\ud800", "1_0x"]
)
def test_what_is_no_time_is_refused(word: str) -> None:
    with pytest.raises(Refusal, match="milliseconds"):
        fields(deadline_ms=word).milliseconds("deadline_ms")


@pytest.mark.parametrize(
    ("word", "expected"),
    [("true", True), ("1", True), ("TRUE", True), ("false", False), ("", False)],
)
def test_flags_are_read(word: str, expected: bool) -> None:
    assert fields(raw=word).flag("raw") is expected


def test_what_is_no_flag_is_refused() -> None:
    with pytest.raises(Refusal, match="true or false"):
        fields(raw="perhaps").flag("raw")


def test_a_field_given_twice_is_refused() -> None:
    with pytest.raises(Refusal, match="given 2 times"):
        Form((), {"method": ("a", "b")}).one("method")


def test_a_wish_names_classes_or_all_of_them() -> None:
    def classes(*words: str) -> tuple[str, ...]:
        return Form((), {"class": words}).wish(["a", "b"]).classes

    assert classes() == ()
    assert classes("") == ()
    assert classes("b", "a") == ("b", "a")
    assert classes("all") == ("a", "b")
    with pytest.raises(Refusal, match="twice"):
        classes("a", "a")


def test_a_class_may_be_called_all() -> None:
    assert Form((), {"class": ("all",)}).wish(["all", "none"]).classes == ("all",)


def test_a_part_without_a_file_name_is_no_file() -> None:
    [got] = parse(body(part('form-data; name="method"', b"x")), b"bound-1")
    assert got == FormFile("method", b"x", "")
