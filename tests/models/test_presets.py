"""A preset is the part that it stands for, everywhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kdray import parts
from kdray.errors import JobError
from kdray.models import build_model
from kdray.registry.package import read_package, write_package
from kdray.spec.strict import Part

INFO = SimpleNamespace(
    classes=("a", "b", "c"), image_size=64, channels=1, mean=(0.5,), std=(0.25,)
)


def test_a_preset_stands_for_its_part_and_settings() -> None:
    found = parts.canonical("models", Part(name="visformer_small"))
    assert found == Part(name="timm", params={"arch": "visformer_small"})


def test_given_settings_come_on_top_of_a_presets() -> None:
    part = Part(name="hdkd_student", params={"stem_stride": 4})
    found = parts.canonical("models", part)
    assert found.params == {"distillation_token": False, "stem_stride": 4}
    assert parts.settings("models", part)["stem_stride"] == 4


def test_a_part_and_an_unknown_name_are_returned_as_they_are() -> None:
    for name in ("cnn5", "hdkd", "cnn6"):
        part = Part(name=name, params={"x": 1})
        assert parts.canonical("models", part) is part


def test_resolving_twice_changes_nothing() -> None:
    once = parts.canonical("models", Part(name="ofa_595"))
    assert parts.canonical("models", once) == once


@pytest.mark.parametrize("name", parts.presets("models"))
def test_the_settings_of_every_preset_are_valid(name: str) -> None:
    preset = parts.presets("models")[name]
    assert not list(parts.check((), "models", name))
    assert set(preset.params) <= set(parts.header("models", preset.part).Params.model_fields)


@pytest.mark.parametrize("name", parts.names("models"))
def test_a_preset_called_like_a_part_changes_nothing_of_it(name: str) -> None:
    preset = parts.presets("models").get(name)
    assert preset is None or (preset.part, preset.params) == (name, {})


def test_no_two_presets_have_one_name() -> None:
    listed = [
        name
        for part in parts.names("models")
        for name in parts.header("models", part).constants.get("PRESETS", {})
    ]
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ({"name": "visformer_smal"}, "Did you mean 'visformer_small'?"),
        ({"name": "hdkd_student", "params": {"stem_strid": 4}}, "Did you mean 'stem_stride'?"),
        ({"name": "hdkd_student", "params": {"stem_stride": 3}}, "stem_stride: "),
    ],
)
def test_wrong_names_and_settings_of_presets_are_refused(
    part: dict[str, Any], problem: str
) -> None:
    with pytest.raises(JobError) as caught:
        parts.settings("models", Part.model_validate(part))
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "name", ["vgg19", "ofa_595", "hdkd", "hdkd_teacher", "pvt_tiny", "mobilevit_s_mbcsa"]
)
def test_a_package_of_a_preset_builds_the_same_network_again(name: str, tmp_path: Path) -> None:
    net = build_model(name, {}, channels=1, classes=3, image_size=64, seed=3)
    model = {"name": name, "params": {}}
    manifest = write_package(
        tmp_path, net, model=model, id="x", role="student", info=INFO, lineage={}
    )
    whole = parts.canonical("models", Part(name=name))
    assert manifest["model"] == {"name": whole.name, "params": whole.params}
    again = read_package(tmp_path).build()
    images = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    net.module.eval()
    with torch.no_grad():
        assert torch.equal(again.module(images), net.module(images))


def test_a_package_that_names_a_preset_is_read_as_well(tmp_path: Path) -> None:
    net = build_model("cnn5_small", {}, channels=1, classes=3, image_size=64)
    model = {"name": "cnn5_small", "params": {}}
    write_package(tmp_path, net, model=model, id="x", role="student", info=INFO, lineage={})
    file = tmp_path / "model.json"
    text = file.read_text()
    file.write_text(text.replace('"name": "cnn5"', '"name": "cnn5_small"'))
    assert file.read_text() != text
    assert read_package(tmp_path).build().module.get_submodule("head").in_features == 168
