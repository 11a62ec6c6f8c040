"""The registry on S3: immutable versions, atomic aliases, damage that is named."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdray.errors import RegistryError
from kdray.registry import Registry, read_package
from kdray.store import Store
from tests.store.faults import Proxy, unanswered

Make = Callable[..., Path]


@pytest.fixture
def registry(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Return a registry on S3 whose copies are kept in a folder of the test."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Registry(s3)


@pytest.fixture
def two(registry: Registry, make_package: Make) -> Registry:
    for seed in (1, 2):
        registry.add("brain", make_package(seed), key=str(seed))
    return registry


def at_once(*acts: Callable[[], Any]) -> list[str]:
    """Perform acts in threads and return the problems of those that were refused."""
    ready = threading.Barrier(len(acts))
    refused: list[str] = []

    def perform(act: Callable[[], Any]) -> None:
        ready.wait()
        try:
            act()
        except RegistryError as error:
            refused.append(error.problem)

    threads = [threading.Thread(target=perform, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return refused


def test_a_version_is_a_package_with_card_and_lineage(two: Registry) -> None:
    assert (two.names(), two.versions("brain"), two.aliases("brain")) == (["brain"], [1, 2], {})
    assert read_package(two.fetch("brain", 1)).id == "cnn5"
    facts = two.describe("brain", 2)
    assert facts["lineage"]["job"] == "quickstart"
    assert facts["card"].startswith("# brain, version 2")


def test_two_promotions_at_once_one_wins_and_the_other_is_told(two: Registry) -> None:
    rivals = [Registry(two.uri) for _ in range(2)]
    seen = [rival.pointed("brain") for rival in rivals]
    refused = at_once(
        lambda: rivals[0].promote("brain", 1, since=seen[0]),
        lambda: rivals[1].promote("brain", 2, since=seen[1]),
    )
    assert refused == ["someone else moved the alias 'champion' at the same moment."]
    assert len(two.history("brain")) == 1
    assert two.history("brain")[0]["version"] == two.resolve("brain")


def test_two_adds_at_once_get_two_numbers_with_their_own_files(
    registry: Registry, make_package: Make
) -> None:
    folders = {key: make_package(seed) for seed, key in enumerate("ab")}
    found: dict[str, int] = {}

    def adder(key: str) -> Callable[[], None]:
        return lambda: found.update(
            {key: Registry(registry.uri).add("brain", folders[key], key=key)}
        )

    assert at_once(*(adder(key) for key in folders)) == []
    assert sorted(found.values()) == [1, 2]
    for key, version in found.items():
        kept = read_package(registry.fetch("brain", version))
        assert kept.weights == read_package(folders[key]).weights


def test_rollback_and_promotion_move_the_alias(two: Registry) -> None:
    two.promote("brain", 1)
    two.promote("brain", 2)
    assert two.rollback("brain") == two.resolve("brain") == 1


def test_a_damaged_copy_is_fetched_again(two: Registry) -> None:
    copy = two.fetch("brain", 1)
    (copy / "model.safetensors").write_bytes(b"damaged")
    assert read_package(two.fetch("brain", 1)).id == "cnn5"


def test_a_damaged_remote_file_is_named_by_its_uri(two: Registry) -> None:
    store = Store(two.uri)
    name = next(file for file in store.sizes("brain/versions/1") if file.endswith("card.md"))
    store.write(f"brain/versions/1/{name}", b"changed")
    with pytest.raises(
        RegistryError, match=r"^s3://lab-\w+/lab/brain/versions/1/card\.md: is damaged"
    ):
        two.fetch("brain", 1)


def test_a_message_holds_no_secret(two: Registry) -> None:
    with pytest.raises(RegistryError, match=r"^s3://lab-\w+/lab/brain: ") as caught:
        two.resolve("brain", "none")
    assert "secret" not in str(caught.value)


def test_a_folder_of_the_registry_may_be_copied_from_s3(two: Registry, tmp_path: Path) -> None:
    two.promote("brain", 2)
    remote, here = Store(two.uri), Store(str(tmp_path / "copy"))
    for name in remote.sizes(""):
        here.write(name, remote.read(name) or b"")
    copy = Registry(here.uri)
    assert copy.resolve("brain") == 2
    assert read_package(copy.fetch("brain", 2)).id == "cnn5"


def test_a_version_and_its_alias_whose_answers_were_lost_are_there_once(
    registry: Registry, s3_server: str, make_package: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("kdray.store._retry", "botocore.endpoint"):
        monkeypatch.setattr(f"{module}.time.sleep", lambda seconds: None)
    proxy = Proxy(s3_server)
    behind = Registry(proxy.before(registry.uri))
    for name in ("result.json", "champion.json"):
        proxy.fail(unanswered, "PUT", name, times=4)  # longer than one request is tried
    try:
        assert behind.add("brain", make_package(1), key="one") == 1
        behind.promote("brain", 1)
    finally:
        proxy.close()
    assert (registry.versions("brain"), registry.aliases("brain")) == ([1], {"champion": 1})
    assert len(registry.history("brain")) == 1
    assert read_package(registry.fetch("brain", 1)).id == "cnn5"
    assert len(Store(registry.uri).list("brain/versions/1")) == 2  # the result, and its files
