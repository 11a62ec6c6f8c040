"""What every part file must hold; a new part is tested here without a line."""

from __future__ import annotations

import itertools

import pytest
import torch
from pydantic import BaseModel, ValidationError

from kdray import parts
from kdray.errors import JobError
from kdray.models import build_model
from kdray.net import Wants, look
from kdray.spec.space import Space
from kdray.spec.strict import Part, Strict

ALL = [(folder, name) for folder in parts.FOLDERS for name in parts.names(folder)]
OFFERS = {
    "data": ("fingerprint", "rows"),
    "models": ("build",),
    "distill": ("Method",),
    "explain": ("explain",),
}


def required(params: type[BaseModel]) -> list[str]:
    return [name for name, field in params.model_fields.items() if field.is_required()]


#: Parts that can be made without a setting.
READY = [part for part in ALL if not required(parts.header(*part).Params)]
MODELS = [name for folder, name in READY if folder == "models"]


@pytest.mark.parametrize(("folder", "name"), ALL)
def test_a_part_offers_what_its_folder_promises(folder: str, name: str) -> None:
    module = parts.load(folder, name)
    assert callable(module.Params)
    for offer in OFFERS[folder]:
        assert callable(getattr(module, offer))


@pytest.mark.parametrize(("folder", "name"), ALL)
def test_a_part_read_from_its_source_has_the_settings_of_the_imported_one(
    folder: str, name: str
) -> None:
    header, module = parts.header(folder, name), parts.load(folder, name)
    assert header.Params.model_json_schema() == module.Params.model_json_schema()
    for key, value in header.constants.items():
        assert getattr(module, key) == value


@pytest.mark.parametrize(("folder", "name"), ALL)
def test_a_part_says_in_one_line_what_it_is(folder: str, name: str) -> None:
    title = parts.header(folder, name).title
    assert title.endswith(".")
    assert 10 < len(title) < 100


@pytest.mark.parametrize(("folder", "name"), ALL)
def test_a_part_refuses_unknown_settings(folder: str, name: str) -> None:
    params = parts.header(folder, name).Params
    assert issubclass(params, Strict)
    with pytest.raises(ValidationError) as caught:
        params.model_validate({"nonsense": 1})
    assert ("nonsense",) in [error["loc"] for error in caught.value.errors()]


@pytest.mark.parametrize(("folder", "name"), ALL)
def test_every_setting_of_a_part_is_described(folder: str, name: str) -> None:
    fields = parts.header(folder, name).Params.model_fields
    assert [key for key, field in fields.items() if not field.description] == []


@pytest.mark.parametrize(("folder", "name"), READY)
def test_the_defaults_of_a_part_are_valid_and_survive_json(folder: str, name: str) -> None:
    params = parts.header(folder, name).Params
    settings = parts.settings(folder, Part(name=name))
    assert params.model_validate(settings) == params()


@pytest.mark.parametrize("name", parts.names("distill"))
def test_a_methods_search_ranges_are_spaces_within_its_limits(name: str) -> None:
    params = parts.header("distill", name).Params
    for key, space in parts.searchable(name).items():
        allowed = Space.model_validate(space)
        for end in allowed.choices or (allowed.min, allowed.max):
            params.model_validate({key: end})


@pytest.mark.parametrize("name", parts.names("distill"))
def test_a_method_names_its_paper_its_equations_and_its_needs(name: str) -> None:
    constants = parts.header("distill", name).constants
    assert constants["PAPER"]
    assert constants["EQUATIONS"]
    assert isinstance(constants["NEEDS"], tuple)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_logits_and_maps(name: str) -> None:
    net = build_model(name, {}, channels=3, classes=5, image_size=32)
    seen = look(net, torch.randn(2, 3, 32, 32), Wants(tuple(net.taps)))
    stages = [tap for tap in net.taps if tap.startswith("stage")]
    assert seen.logits.shape == (2, 5)
    assert stages == [f"stage{i + 1}" for i in range(len(stages))]
    assert set(net.taps) >= {*stages, "texture", "shape", "cam", "final"}
    assert all(maps.ndim == 4 and maps.shape[0] == 2 for maps in seen.maps.values())
    sides = [seen.maps[stage].shape[-1] for stage in stages]
    assert all(shallow >= deep for shallow, deep in itertools.pairwise(sides))


@pytest.mark.parametrize("name", MODELS)
def test_a_models_state_makes_another_answer_the_same(name: str) -> None:
    ours, theirs = (
        build_model(name, {}, channels=3, classes=5, image_size=32, seed=seed) for seed in (1, 2)
    )
    theirs.module.load_state_dict(ours.module.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(ours.module.eval()(images), theirs.module.eval()(images))


@pytest.mark.parametrize("name", ["os.system", "../../etc/passwd", "_terms", "__init__", "KD", ""])
def test_a_name_that_is_no_file_of_the_folder_is_refused(name: str) -> None:
    with pytest.raises(JobError, match="no method is called"):
        parts.load("distill", name)
    with pytest.raises(JobError, match="no method is called"):
        parts.header("distill", name)


def test_settings_come_with_the_defaults_filled_in() -> None:
    settings = parts.settings("distill", Part(name="fbce_mse", params={"T": 2}))
    assert settings == {"alpha": 0.5, "T": 2.0, "gamma": 2.0}


def test_wrong_settings_of_a_part_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(JobError, match=r"alhpa: kd has no such setting\. Did you mean 'alpha'"):
        parts.settings("distill", Part(name="kd", params={"alhpa": 0.1}))


def test_a_methods_own_search_spaces_are_those_of_its_settings() -> None:
    assert parts.searchable("fbce_mse") == {
        "alpha": {"min": 0.1, "max": 0.9},
        "T": {"min": 1.0, "max": 10.0, "log": True},
        "gamma": {"min": 0.0, "max": 3.0},
    }
    assert parts.searchable("none") == {}
