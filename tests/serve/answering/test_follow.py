"""Aliases that move while the service runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kdray.errors import RegistryError
from kdray.registry import Registry
from kdray.spec.service import Canary, ServedModel, Service, Shadow
from kdray.spec.strict import Part
from kdray_serve.answering.catalogue import Catalogue
from kdray_serve.answering.follow import Follower
from kdray_serve.meter import Silent
from kdray_serve.refusal import Refusal
from kdray_serve.work import Key


class Warmed:
    """Keeps what was loaded; some versions cannot be."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.broken: set[Key] = set()

    def __call__(self, key: Key) -> None:
        self.keys.append(key)
        if key in self.broken:
            raise RegistryError(f"{key[0]}@{key[1]}", "is damaged.")


class Counting(Silent):
    def __init__(self) -> None:
        self.told: list[object] = []

    def switched(self, key: Key) -> None:
        self.told.append(key)

    def switch_failed(self, name: str) -> None:
        self.told.append(name)


@pytest.fixture
def warmed() -> Warmed:
    return Warmed()


@pytest.fixture
def meter() -> Counting:
    return Counting()


@pytest.fixture
def follower(service: Callable[..., Service], warmed: Warmed, meter: Counting) -> Follower:
    return Follower(service(), warmed, meter)


def test_a_name_stands_for_the_version_that_its_alias_points_at(follower: Follower) -> None:
    follower.look()
    assert follower.found("brain") == ("brain", 2)


def test_before_the_first_look_the_service_is_not_ready(follower: Follower) -> None:
    assert not follower.has_started
    with pytest.raises(Refusal) as found:
        follower.found("brain")
    assert found.value.status == 503


def test_the_models_are_loaded_before_they_answer(follower: Follower, warmed: Warmed) -> None:
    follower.look()
    assert warmed.keys == [("brain", 2)]


def test_a_moved_alias_is_followed_and_told(
    follower: Follower, registry: Registry, warmed: Warmed, meter: Counting
) -> None:
    follower.look()
    registry.promote("brain", 3)
    assert follower.found("brain") == ("brain", 2)
    changes = follower.look()
    assert changes["switched"] == [{"slot": "models.0", "name": "brain", "from": 2, "to": 3}]
    assert follower.found("brain") == ("brain", 3)
    assert warmed.keys == [("brain", 2), ("brain", 3)]
    assert meter.told == [("brain", 3)]


def test_a_look_that_finds_nothing_new_changes_nothing(follower: Follower, warmed: Warmed) -> None:
    follower.look()
    assert follower.look() == {"switched": [], "failed": {}}
    assert warmed.keys == [("brain", 2)]


def test_the_old_version_answers_until_the_new_one_is_loaded(
    service: Callable[..., Service], registry: Registry
) -> None:
    answering: list[Key] = []

    def warm(_key: Key) -> None:
        if follower.has_started:
            answering.append(follower.found("brain"))

    follower = Follower(service(), warm)
    follower.look()
    registry.promote("brain", 3)
    follower.look()
    assert answering == [("brain", 2)]


def test_a_damaged_new_version_leaves_the_old_one_and_is_tried_again(
    follower: Follower, registry: Registry, warmed: Warmed, meter: Counting
) -> None:
    follower.look()
    registry.promote("brain", 3)
    warmed.broken.add(("brain", 3))
    assert "damaged" in follower.look()["failed"]["brain@champion"]
    assert follower.found("brain") == ("brain", 2)
    assert meter.told == ["brain"]
    assert follower.failures
    warmed.broken.clear()
    follower.look()
    assert follower.found("brain") == ("brain", 3)
    assert not follower.failures


def test_a_registry_that_is_gone_leaves_everything_as_it_is(
    follower: Follower, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> None:
    follower.look()
    away = tmp_path_factory.mktemp("away") / "registry"
    home = type(away)(registry.uri)
    home.rename(away)
    assert follower.look()["failed"]
    assert follower.found("brain") == ("brain", 2)
    away.rename(home)
    assert follower.look() == {"switched": [], "failed": {}}


def test_a_rollback_is_followed_too(follower: Follower, registry: Registry) -> None:
    follower.look()
    registry.rollback("brain")
    follower.look()
    assert follower.found("brain") == ("brain", 1)


def test_a_number_in_the_spec_stays(service: Callable[..., Service], registry: Registry) -> None:
    follower = Follower(service(models=(ServedModel(name="brain", version="1"),)), lambda _: None)
    follower.look()
    registry.promote("brain", 3)
    follower.look()
    assert follower.found("brain") == ("brain", 1)


def test_a_missing_model_stops_the_start(service: Callable[..., Service]) -> None:
    follower = Follower(service(models=(ServedModel(name="heart"),)), lambda _: None)
    with pytest.raises(RegistryError, match="heart"):
        follower.look()


@pytest.mark.parametrize(
    ("text", "number"), [("brain@1", 1), ("brain@3", 3), ("brain@champion", 2)]
)
def test_any_version_of_a_served_name_can_be_asked_for(
    follower: Follower, text: str, number: int
) -> None:
    follower.look()
    assert follower.found(text) == ("brain", number)
    assert follower.details(("brain", number)).version == number


@pytest.mark.parametrize(
    "text",
    [
        *("teacher.t", "teacher.t@1", "brain@4", "brain@0", "brain@-1", "brain@beta", "brain@"),
        *("../x", "brain@\u0661", "brain@" + "9" * 5000, "", "@1"),
    ],
)
def test_nothing_else_can_be_asked_for(follower: Follower, text: str) -> None:
    follower.look()
    with pytest.raises(Refusal) as found:
        follower.found(text)
    assert found.value.status == 404
    assert "brain" in found.value.detail or "champion" in found.value.detail


def test_canary_and_shadow_are_followed_by_their_alias(
    service: Callable[..., Service], registry: Registry, warmed: Warmed
) -> None:
    registry.promote("brain", 3, "next")
    spec = service(canary=Canary(version="next", percent=10), shadow=Shadow(version="1"))
    follower = Follower(spec, warmed)
    follower.look()
    assert follower.table.slots["canary"] == ("brain", 3)
    assert warmed.keys == [("brain", 1), ("brain", 3), ("brain", 2)]
    assert follower.table.served == (("brain", 2),)
    registry.promote("brain", 1, "next")
    follower.look()
    assert follower.table.slots["canary"] == ("brain", 1)


def test_details_tell_aliases_versions_teacher_samples_and_canary(
    service: Callable[..., Service],
) -> None:
    follower = Follower(service(canary=Canary(version="3", percent=10)), lambda _: None)
    follower.look()
    found = follower.details(("brain", 2))
    assert found.aliases == ["champion"]
    assert found.versions == [1, 2, 3]
    assert found.teacher == "teacher.t@1"
    assert found.samples == 1
    assert found.calibrated
    assert found.canary is not None
    assert (found.canary.version, found.canary.percent) == (3, 10)
    assert follower.details(("brain", 3)).canary is None
    assert [(method.name, method.needs_class) for method in found.explanations] == [
        ("gradcam", True),
        ("scorecam_fast", True),
        ("featuremaps", False),
    ]


def test_without_pytorch_only_what_can_be_explained_without_it_is_on_offer(
    service: Callable[..., Service],
) -> None:
    names = ("gradcam", "shap", "score-cam-fast", "rollout", "featuremaps")
    offered = service(explain=tuple(Part(name=name) for name in names))
    with_head, without_files = (
        Catalogue(offered, may_use_torch=False).details(("brain", version)) for version in (2, 1)
    )
    assert [method.name for method in with_head.explanations] == [
        "gradcam",
        "score-cam-fast",
        "featuremaps",
    ]
    assert "gradcam" not in [method.name for method in without_files.explanations]
