from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from kdray.errors import RunError, StoreError
from kdray.run.output import PIECE_BYTES, Output, Pieces, growing_log, stored_log
from kdray.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "lab"))


def text_of(store: Store) -> str:
    return "".join(stored_log(store, "tiny"))


def printed(store: Store, *texts: str) -> None:
    """Print texts as one driver does; nothing is written before its end."""
    with Output(store, "tiny", flush_s=60):
        for text in texts:
            print(text)


def test_what_is_printed_is_in_the_storage_and_still_printed(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    with Output(store, "tiny", flush_s=60):
        print("epoch 1")
        print("careful", file=sys.stderr)
    assert text_of(store) == "epoch 1\ncareful\n"
    said = capsys.readouterr()
    assert (said.out, said.err) == ("epoch 1\n", "careful\n")


def test_what_is_printed_before_and_after_is_not_kept(store: Store) -> None:
    before = sys.stdout
    printed(store, "inside")
    print("outside")
    assert text_of(store) == "inside\n"
    assert sys.stdout is before


def test_it_is_written_while_the_driver_runs(store: Store) -> None:
    written = threading.Event()

    class Watched(Store):
        def replace(self, name: str, old: bytes | None, new: bytes) -> bool:
            done = super().replace(name, old, new)
            written.set()
            return done

    with Output(Watched(store.uri), "tiny", flush_s=0.01):
        print("epoch 1")
        assert written.wait(60)
        assert text_of(store) == "epoch 1\n"


def test_the_error_that_ends_a_driver_is_its_last_line(store: Store) -> None:
    def fail() -> None:
        with Output(store, "tiny", flush_s=60):
            print("epoch 1")
            raise RunError("search", "every trial failed.", "Mend it.")

    with pytest.raises(RunError):
        fail()
    assert text_of(store) == "epoch 1\nerror search: every trial failed. Mend it.\n"


def test_a_fault_of_ours_is_kept_with_its_trace(store: Store) -> None:
    def fail() -> None:
        with Output(store, "tiny", flush_s=60):
            raise ZeroDivisionError("nothing to divide by")

    with pytest.raises(ZeroDivisionError):
        fail()
    assert text_of(store).startswith("Traceback")
    assert text_of(store).endswith("ZeroDivisionError: nothing to divide by\n")


def test_a_stopped_driver_says_so(store: Store) -> None:
    def stop() -> None:
        with Output(store, "tiny", flush_s=60):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert text_of(store) == "Stopped.\n"


def test_each_driver_goes_on_after_those_before(store: Store) -> None:
    printed(store, "first")
    printed(store, "second")
    assert store.list("jobs/tiny/log") == ["0000.txt", "0001.txt"]
    assert text_of(store) == "first\nsecond\n"


def test_two_drivers_at_a_time_write_no_file_of_each_other(store: Store) -> None:
    one, other = Pieces(store, "tiny"), Pieces(store, "tiny")
    for number in range(3):
        for pieces, name in ((one, "one"), (other, "other")):
            pieces.add(f"{name} {number}\n".encode().ljust(PIECE_BYTES, b"."))
            pieces.flush()
    found = [store.read(f"jobs/tiny/log/{name}") or b"" for name in store.list("jobs/tiny/log")]
    assert len(found) == 6
    assert {piece[:7].strip(b".\n") for piece in found} == {
        *(b"one 0", b"one 1", b"one 2"),
        *(b"other 0", b"other 1", b"other 2"),
    }


def test_long_texts_are_cut_between_lines(store: Store) -> None:
    lines = [f"line {number:05d}" for number in range(3 * PIECE_BYTES // 11)]
    printed(store, *lines)
    found = [store.read(f"jobs/tiny/log/{name}") or b"" for name in store.list("jobs/tiny/log")]
    assert len(found) == 4
    assert all(len(piece) <= PIECE_BYTES and piece.endswith(b"\n") for piece in found)
    assert text_of(store).splitlines() == lines


def test_a_line_longer_than_a_file_loses_no_letter(store: Store) -> None:
    text = "\N{GREEK SMALL LETTER ALPHA}" * PIECE_BYTES  # two bytes each: files cut letters
    printed(store, "x" + text)
    assert text_of(store) == f"x{text}\n"


class Moody(Store):
    """A storage that refuses so many writes."""

    refusals = 0

    def _refuse(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StoreError(self.uri, "does not answer.")

    def replace(self, name: str, old: bytes | None, new: bytes) -> bool:
        self._refuse()
        return super().replace(name, old, new)

    def write(self, name: str, data: bytes | memoryview) -> None:
        self._refuse()
        super().write(name, data)


@pytest.fixture
def moody(store: Store) -> Moody:
    return Moody(store.uri)


def test_what_the_storage_refused_is_written_when_it_answers(moody: Moody) -> None:
    pieces = Pieces(moody, "tiny")
    for text, refusals in ((b"one\n", 1), (b"two\n", 0), (b"three\n", 1), (b"four\n", 0)):
        pieces.add(text)
        moody.refusals = refusals
        if refusals:
            with pytest.raises(StoreError):
                pieces.flush()
        else:
            pieces.flush()
    assert text_of(moody) == "one\ntwo\nthree\nfour\n"


def test_a_storage_that_never_answers_ends_no_job(moody: Moody) -> None:
    moody.refusals = 1000
    printed(moody, "epoch 1")


def test_a_log_that_grows_is_read_on_where_it_was_left(store: Store) -> None:
    new = growing_log(store, "tiny")
    assert list(new()) == []
    pieces = Pieces(store, "tiny")
    seen = []
    for text in ("one\n", "two\n", "t" * PIECE_BYTES, "\nfour\n"):
        pieces.add(text.encode())
        pieces.flush()
        seen.append("".join(new()))
    assert seen == ["one\n", "two\n", "t" * PIECE_BYTES, "\nfour\n"]
    assert list(new()) == []


def test_nothing_new_writes_nothing(store: Store) -> None:
    pieces = Pieces(store, "tiny")
    pieces.flush()
    assert not store.exists("jobs/tiny/log")


def test_a_log_in_an_object_store_grows_as_it_does_on_a_disk(s3: str) -> None:
    store = Store(s3)
    new = growing_log(store, "tiny")
    one, other = Pieces(store, "tiny"), Pieces(store, "tiny")
    seen = []
    for pieces, text in ((one, "one\n"), (one, "two\n"), (other, "three\n")):
        pieces.add(text.encode())
        pieces.flush()
        seen.append("".join(new()))
    assert seen == ["one\n", "two\n", "three\n"]
    assert store.list("jobs/tiny/log") == ["0000.txt", "0001.txt"]
