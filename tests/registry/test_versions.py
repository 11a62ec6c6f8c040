"""The registry: versions never change, aliases move, damage is found."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from kdray.errors import RegistryError
from kdray.registry import Registry, locate, read_package


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(str(tmp_path / "registry"))


def content(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.md5(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}


def test_an_empty_registry_has_no_names(registry: Registry) -> None:
    assert registry.names() == []


def test_versions_count_from_one(registry: Registry, make_package: Callable[..., Path]) -> None:
    assert [registry.add("brain", make_package(seed), key=f"k{seed}") for seed in (1, 2)] == [1, 2]
    assert registry.names() == ["brain"]
    assert registry.versions("brain") == [1, 2]


def test_the_same_key_again_is_the_same_version(
    registry: Registry, make_package: Callable[..., Path]
) -> None:
    folder = make_package()
    assert registry.add("brain", folder, key="k") == registry.add("brain", folder, key="k") == 1
    assert registry.versions("brain") == [1]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": "x", "history": []}'])
def test_a_damaged_alias_is_named(
    registry: Registry, make_package: Callable[..., Path], text: str
) -> None:
    registry.promote("brain", registry.add("brain", make_package(), key="k"))
    file = Path(registry.uri) / "brain" / "aliases" / "champion.json"
    file.write_text(text)
    with pytest.raises(RegistryError, match=r"champion\.json: this alias is damaged"):
        registry.resolve("brain")


def test_a_link_to_a_file_elsewhere_does_not_become_part_of_a_version(
    registry: Registry, make_package: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("mine")
    folder = make_package()
    (folder / "notes.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(RegistryError, match=r"notes\.txt: is a link"):
        registry.add("brain", folder, key="k")
    assert registry.versions("brain") == []


def test_a_version_does_not_change_when_another_is_added(
    registry: Registry, make_package: Callable[..., Path]
) -> None:
    registry.add("brain", make_package(1), key="a")
    before = content(registry.fetch("brain", 1))
    registry.add("brain", make_package(2), key="b")
    assert content(registry.fetch("brain", 1)) == before


def test_a_version_is_a_copy_of_its_package(
    registry: Registry, make_package: Callable[..., Path]
) -> None:
    folder = make_package()
    registry.add("brain", folder, key="k")
    (folder / "model.safetensors").write_bytes(b"gone")
    assert read_package(registry.fetch("brain", 1)).id == "cnn5"


def test_every_version_has_a_model_card(
    registry: Registry, make_package: Callable[..., Path]
) -> None:
    registry.add("brain", make_package(), key="k")
    assert (registry.fetch("brain", 1) / "card.md").read_text().startswith("# brain, version 1\n")


def test_a_damaged_package_is_not_added(
    registry: Registry, make_package: Callable[..., Path]
) -> None:
    folder = make_package()
    (folder / "model.safetensors").write_bytes(b"gone")
    with pytest.raises(RegistryError, match=r"model\.safetensors"):
        registry.add("brain", folder, key="k")
    assert registry.versions("brain") == []


@pytest.mark.parametrize("file", ["model.safetensors", "card.md"])
def test_a_damaged_file_of_a_version_is_named(
    registry: Registry, make_package: Callable[..., Path], file: str
) -> None:
    registry.add("brain", make_package(), key="k")
    (registry.fetch("brain", 1) / file).write_bytes(b"changed")
    with pytest.raises(RegistryError, match=rf"{file}: is damaged"):
        registry.fetch("brain", 1)


def test_two_writers_never_share_a_number(
    registry: Registry, make_package: Callable[..., Path]
) -> None:
    folders = {f"k{seed}": make_package(seed) for seed in range(6)}
    found: dict[str, int] = {}

    def add(key: str) -> None:
        found[key] = Registry(registry.uri).add("brain", folders[key], key=key)

    threads = [threading.Thread(target=add, args=(key,)) for key in folders]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(found.values()) == [1, 2, 3, 4, 5, 6]
    for key, version in found.items():
        weights = registry.fetch("brain", version) / "model.safetensors"
        assert weights.read_bytes() == (folders[key] / "model.safetensors").read_bytes()


@pytest.fixture
def three(registry: Registry, make_package: Callable[..., Path]) -> Registry:
    for seed in (1, 2, 3):
        registry.add("brain", make_package(seed), key=str(seed))
    return registry


def test_an_alias_points_at_the_version_promoted_last(three: Registry) -> None:
    three.promote("brain", 1)
    three.promote("brain", 3)
    assert three.aliases("brain") == {"champion": 3}
    assert three.resolve("brain") == 3


def test_rollback_goes_back_one_promotion_at_a_time(three: Registry) -> None:
    for version in (1, 3, 2):
        three.promote("brain", version)
    assert [three.rollback("brain"), three.rollback("brain")] == [3, 1]
    assert three.resolve("brain") == 1


def test_rollback_with_nothing_before_says_so(three: Registry) -> None:
    three.promote("brain", 1)
    with pytest.raises(RegistryError, match="no other version"):
        three.rollback("brain")


def test_promoting_the_champion_again_adds_no_history(three: Registry) -> None:
    three.promote("brain", 1)
    three.promote("brain", 2)
    three.promote("brain", 2)
    assert three.rollback("brain") == 1


def test_aliases_move_on_their_own(three: Registry) -> None:
    three.promote("brain", 1)
    three.promote("brain", 2, "candidate")
    assert three.aliases("brain") == {"candidate": 2, "champion": 1}


def test_the_history_tells_when_and_why_an_alias_moved(three: Registry) -> None:
    three.promote("brain", 1)
    three.promote("brain", 2, note={"reason": "better on scanner B", "conditions": []})
    three.rollback("brain", reason="worse on scanner A")
    moves = three.history("brain")
    assert [(move["action"], move["version"], move.get("reason")) for move in moves] == [
        ("promote", 1, None),
        ("promote", 2, "better on scanner B"),
        ("rollback", 1, "worse on scanner A"),
    ]
    times = [datetime.fromisoformat(move["time"]) for move in moves]
    assert times == sorted(times)
    assert times[0].utcoffset() == timedelta(0)
    assert three.history("brain", "other") == []


def test_an_alias_of_an_older_kdray_is_read_and_moved(three: Registry, tmp_path: Path) -> None:
    file = tmp_path / "registry" / "brain" / "aliases" / "champion.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"version": 2, "history": [1]}))
    assert three.history("brain") == []
    assert three.rollback("brain") == 1
    assert [move["action"] for move in three.history("brain")] == ["rollback"]


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(three: Registry) -> None:
    three.promote("brain", 1)
    rival = Registry(three.uri)
    seen = three.pointed("brain")
    rival.promote("brain", 2)
    with pytest.raises(RegistryError, match="someone else moved"):
        three.promote("brain", 3, since=seen)
    assert seen.version == 1
    assert rival.aliases("brain") == {"champion": 2}


def test_a_file_of_a_version_is_read_without_the_others(three: Registry) -> None:
    assert (three.read("brain", 1, "card.md") or b"").startswith(b"# brain, version 1")
    assert three.read("brain", 1, "none.png") is None
    assert three.read("brain", 1, "../../aliases/champion.json") is None


@pytest.mark.parametrize("version", ["2", "champion"])
def test_a_version_is_found_by_number_and_by_alias(three: Registry, version: str) -> None:
    three.promote("brain", 2)
    assert three.resolve("brain", version) == 2


def test_an_unknown_name_gives_the_nearest(three: Registry) -> None:
    with pytest.raises(RegistryError, match="Did you mean 'brain'"):
        three.resolve("brian")


def test_an_unknown_alias_gives_the_known_ones(three: Registry) -> None:
    three.promote("brain", 1)
    with pytest.raises(RegistryError, match="Its aliases: champion"):
        three.resolve("brain", "best")


def test_an_unknown_version_gives_the_known_ones(three: Registry) -> None:
    with pytest.raises(RegistryError, match="Its versions: 1, 2, 3"):
        three.promote("brain", 4)


@pytest.mark.parametrize("name", ["", "Brain", "../brain", "a/b", ".hidden", "brain-"])
def test_a_name_that_could_leave_the_registry_is_refused(
    registry: Registry, make_package: Callable[..., Path], name: str
) -> None:
    with pytest.raises(RegistryError, match="cannot be the name"):
        registry.add(name, make_package(), key="k")


@pytest.mark.parametrize("alias", ["7", "../x", "", "Best One"])
def test_an_alias_that_looks_like_a_version_or_a_path_is_refused(
    three: Registry, alias: str
) -> None:
    with pytest.raises(RegistryError, match="cannot be an alias"):
        three.promote("brain", 1, alias)


def test_an_export_is_a_package(three: Registry, tmp_path: Path) -> None:
    three.export("brain", 2, tmp_path / "out" / "brain-2")
    exported = read_package(tmp_path / "out" / "brain-2")
    assert exported.weights == read_package(three.fetch("brain", 2)).weights


def test_an_export_overwrites_nothing(three: Registry, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(RegistryError, match="already there"):
        three.export("brain", 2, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_a_description_has_lineage_and_card_without_fetching(three: Registry) -> None:
    facts = three.describe("brain", 1)
    assert facts["lineage"]["job"] == "quickstart"
    assert (facts["name"], facts["version"], facts["metrics"]) == ("brain", 1, {})
    assert "Not a medical device" in facts["card"]


def test_a_model_is_located_by_folder_by_name_and_by_version(
    three: Registry, make_package: Callable[..., Path]
) -> None:
    folder = make_package(9)
    three.promote("brain", 3)
    assert locate(str(folder), three.uri) == (folder, str(folder))
    assert locate("brain", three.uri) == (three.fetch("brain", 3), "brain@3")
    assert locate("brain@1", three.uri) == (three.fetch("brain", 1), "brain@1")
