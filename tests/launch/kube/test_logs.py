from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from kdray.errors import LaunchError
from kdray.launch.kube.client import connect
from kdray.launch.kube.logs import read_log
from tests.launch.kube.api_server import ApiServer
from tests.launch.kube.given import given_place
from tests.launch.kube.objects import in_state

BEGUN = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


def line(second: int, text: str) -> bytes:
    return f"2026-01-01T00:00:{second:02}.000000001Z {text}\n".encode()


def submitter(name: str = "s1", state: Any = None) -> Any:
    return in_state(state or BEGUN, name=name, kind="submitter", phase="Running")


def read(pods: Sequence[Sequence[Any]], over: Sequence[bool], follow: bool = True) -> list[str]:
    """Return a log's lines; of what is seen at each look the last lasts."""

    def each(values: Sequence[Any]) -> Iterator[Any]:
        yield from values
        while True:
            yield values[-1]

    seen, ended = each(pods), each(over)
    api = connect(given_place())
    words = {"follow": follow, "pause": lambda seconds: None}
    return list(read_log(api, lambda: next(seen), lambda: next(ended), **words))


def test_the_submitters_log_is_the_drivers(server: ApiServer) -> None:
    server.logs["s1"] = [[line(1, "one"), line(2, "two")]]
    head = in_state(BEGUN, phase="Running")
    assert read([[submitter(), head]], [True], follow=False) == ["one\n", "two\n"]


def test_a_log_that_breaks_off_goes_on_without_loss_or_repetition(server: ApiServer) -> None:
    server.logs["s1"] = [
        [line(1, "one"), line(2, "two")[:-3], b""],
        [line(1, "one"), line(2, "two"), line(3, "three")],
    ]
    assert read([[submitter()]], [False, False, True]) == ["one\n", "two\n", "three\n"]


def test_lines_in_pieces_are_put_together(server: ApiServer) -> None:
    whole = line(1, "one") + line(2, "50 %\r100 %")
    server.logs["s1"] = [[whole[:10], whole[10:50], whole[50:]]]
    assert read([[submitter()]], [True]) == ["one\n", "50 %\r100 %\n"]


def test_what_is_printed_until_the_end_is_read(server: ApiServer) -> None:
    server.logs["s1"] = [[line(1, "one")], [line(1, "one"), line(2, "last")]]
    assert read([[submitter()]], [False, True]) == ["one\n", "last\n"]


def test_a_new_try_is_followed_too(server: ApiServer) -> None:
    server.logs["s1"] = [[line(1, "first try")]]
    server.logs["s2"] = [[line(9, "second try")]]
    pods = [[submitter("s1")], [], [submitter("s2")]]
    assert read(pods, [False, False, True]) == ["first try\n", "second try\n"]


def test_a_container_that_has_not_begun_is_waited_for(server: ApiServer) -> None:
    server.logs["s1"] = [[line(1, "one")]]
    waiting = submitter(state={"waiting": {"reason": "ContainerCreating"}})
    assert read([[waiting], [submitter()]], [False, True]) == ["one\n"]


def test_a_log_is_asked_for_from_the_last_line_on(server: ApiServer) -> None:
    server.logs["s1"] = [[line(7, "one")]]
    read([[submitter()]], [False, True])
    asked = [path for _, path in server.asked if "/log" in path]
    assert "sinceTime" not in asked[0]
    assert "sinceTime=2026-01-01T00%3A00%3A07Z" in asked[1]
    assert "follow" not in asked[1]


def test_a_pod_that_goes_between_two_questions_ends_nothing(server: ApiServer) -> None:
    server.logs["s2"] = [[line(9, "second try")]]
    pods = [[submitter("s1")], [submitter("s2")]]
    assert read(pods, [False, False, True]) == ["second try\n"]


def test_without_pods_there_is_nothing_to_read(server: ApiServer) -> None:
    assert read([[]], [True]) == []


def test_a_log_that_may_not_be_read_is_an_error(server: ApiServer) -> None:
    said = '{"message": "pods \\"s1\\" is forbidden: User \\"a\\" cannot get resource '
    said += '\\"pods/log\\" in API group \\"\\" in the namespace \\"lab\\""}'
    server.answers["GET", ".*/log"] = (403, said)
    with pytest.raises(LaunchError, match="a may not get pods/log in namespace lab"):
        read([[submitter()]], [True])
