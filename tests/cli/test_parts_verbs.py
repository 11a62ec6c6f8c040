from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdray import parts
from kdray.spec import json_schema

Kdray = Callable[..., Any]


def test_methods_come_with_all_that_a_search_needs_to_know(kdray: Kdray) -> None:
    found = {item["name"]: item for item in json.loads(kdray("methods", "--json").out)}
    assert sorted(found) == parts.names("distill")
    kd = found["kd"]
    assert kd["needs"] == ["logits"]
    assert "arXiv:1503.02531" in kd["paper"]
    assert "T^2 KL" in kd["equations"]
    assert kd["settings"][1] == {
        "name": "T",
        "type": "number",
        "default": 4.0,
        "required": False,
        "limits": {"exclusiveMinimum": 0, "maximum": 100},
        "search": {"min": 1.0, "max": 10.0, "log": True},
        "description": kd["settings"][1]["description"],
    }


def test_methods_tell_what_they_look_at_in_teacher_and_student(kdray: Kdray) -> None:
    found = {item["name"]: item for item in json.loads(kdray("methods", "--json").out)}
    assert found["kd"]["needs_of_student"] == []
    assert found["hdkd"]["needs"] == ["logits", "stage1", "stage2", "stage3"]
    assert "dense logits" in found["cskd"]["needs_of_student"]
    shown = kdray("methods", "dfkd").out
    assert "Needs of the teacher: logits; texture and shape, or attention" in shown
    assert "Needs of the student: texture and shape, or attention" in shown


@pytest.mark.parametrize("verb", ["methods", "explainers"])
def test_one_part_is_shown_with_its_settings(verb: str, kdray: Kdray) -> None:
    name = {"methods": "kd", "explainers": "gradcam"}[verb]
    answer = kdray(verb, name)
    assert answer.code == 0
    assert parts.header({"methods": "distill", "explainers": "explain"}[verb], name).title in (
        answer.out
    )


@pytest.mark.parametrize("verb", ["methods", "explainers", "models"])
def test_parts_are_listed_by_name(verb: str, kdray: Kdray) -> None:
    folder = {"methods": "distill", "explainers": "explain", "models": "models"}[verb]
    answer = kdray(verb)
    assert answer.code == 0
    assert all(name in answer.out for name in parts.names(folder))


def test_explainers_come_with_names_costs_and_what_their_maps_depend_on(kdray: Kdray) -> None:
    found = {item["name"]: item for item in json.loads(kdray("explainers", "--json").out)}
    assert sorted(found) == parts.names("explain")
    assert found["shap"]["also_called"] == {
        "gradient-shap": {"method": "gradient"},
        "kernel-shap": {"method": "kernel"},
    }
    assert found["gradcam"]["classwise"] is True
    assert found["featuremaps"]["classwise"] is False
    assert found["featuremaps"]["cost"] == "1 forward"
    assert found["gradcam"]["settings"][0]["name"] == "tap"


def test_an_explainer_is_shown_by_any_of_its_names(kdray: Kdray) -> None:
    answer = kdray("explainers", "kernel-shap").out
    assert answer == kdray("explainers", "shap").out
    assert "Also called: gradient-shap (method: gradient), kernel-shap (method: kernel)." in answer
    assert "Map of a class: its own." in answer
    assert "Map of a class: the same for all." in kdray("explainers", "attention-rollout").out
    assert "attention-rollout" in kdray("explainers").out


def test_an_unknown_explainer_is_answered_with_the_nearest(kdray: Kdray) -> None:
    answer = kdray("explainers", "grad-cm")
    assert answer.code == 2
    assert "no explainer is called 'grad-cm'. Did you mean 'grad-cam'?" in answer.err


def test_an_unknown_method_is_answered_with_the_nearest(kdray: Kdray) -> None:
    answer = kdray("methods", "kdd")
    assert answer.code == 2
    assert "no method is called 'kdd'. Did you mean 'kd'?" in answer.err


def test_models_tell_how_to_name_an_architecture(kdray: Kdray) -> None:
    found = {item["name"]: item for item in json.loads(kdray("models", "--json").out)}
    assert "timm/ARCH" in found["timm"]["note"]
    assert found["timm"]["settings"][0]["required"] is True
    assert found["timm"]["settings"][1]["default"] == {}


def test_the_papers_models_come_with_counts_for_the_classes_asked(kdray: Kdray) -> None:
    found = {item["name"]: item for item in json.loads(kdray("models", "--json").out)}
    assert set(found) == {*parts.names("models"), *parts.presets("models")}
    few = json.loads(kdray("models", "--json", "--classes", "2").out)
    hdkd = next(item for item in few if item["name"] == "hdkd_teacher")
    assert found["hdkd_teacher"]["parameters"] == 4_076_774
    assert hdkd["parameters"] == 3_948_032
    assert hdkd["macs"] < hdkd["macs_ptflops"]
    assert (hdkd["part"], hdkd["params"], hdkd["role"]) == ("hdkd", {"kind": "teacher"}, "teacher")
    assert {name for name, item in found.items() if item["kind"] == "part"} >= {"timm", "ofa"}
    assert all("parameters" in item for item in found.values() if item["kind"] == "model")
    assert hdkd["taps"]["texture"] == [96, 56, 56]
    assert found["cskd_tiny"]["heads"] == ["class", "distillation"]


def test_the_document_has_the_table_of_the_papers_models(kdray: Kdray) -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    assert kdray("models", "--markdown", "--classes", "4").out.strip() in text


def test_a_preset_is_shown_with_its_source_heads_and_attention(kdray: Kdray) -> None:
    words = ("models", "show", "hdkd", "--image-size", "32", "--param", "stem_stride=4")
    answer = kdray(*words).out
    assert "HDKD, student with class and distillation token" in answer
    assert "Heads: class, distillation." in answer
    assert "Attention of the blocks: 1 x 1, 1 x 1, 1 x 1." in answer
    found = json.loads(kdray(*words, "--json").out)
    assert found["model"]["params"]["stem_stride"] == 4


def test_architectures_are_listed_by_pattern(kdray: Kdray) -> None:
    assert "resnet18" in kdray("models", "--arch-like", "resnet1*").out.splitlines()
    assert json.loads(kdray("models", "--arch-like", "zzz*", "--json").out) == []


def test_a_model_is_shown_with_its_size_and_taps(kdray: Kdray) -> None:
    words = ("models", "show", "cnn5", "--param", "widths=[4, 4, 4, 4, 8]", "--image-size", "64")
    found = json.loads(kdray(*words, "--classes", "3", "--channels", "1", "--json").out)
    by_hand = 9 * (1 * 4 + 3 * 4 * 4 + 4 * 8) + 2 * (4 * 4 + 8) + 8 * 3 + 3
    assert found["parameters"] == by_hand
    assert next(tap for tap in found["taps"] if tap["name"] == "cam") == {
        "name": "cam",
        "path": "stages.4.act",
        "layout": "NCHW",
        "shape": [8, 4, 4],
    }
    assert "8 x 4 x 4" in kdray(*words).out


def test_an_architecture_is_shown_by_its_short_name(kdray: Kdray) -> None:
    answer = kdray("models", "show", "timm/resnet18", "--image-size", "64")
    assert "11,177,538 parameters" in answer.out
    assert "512 x 2 x 2" in answer.out


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["cnn6"], 2, "Did you mean 'cnn5'?"),
        (["cnn5", "--param", "width=3"], 2, "Did you mean 'widths'?"),
        (["cnn5", "--param", "widths"], 2, "Write --param name=value."),
        (["cnn5", "--image-size", "16"], 1, "16 px are too few"),
        (["timm/resnet81"], 1, "'resnet18'"),
    ],
)
def test_a_model_that_cannot_be_shown_is_refused(
    words: list[str], code: int, expected: str, kdray: Kdray
) -> None:
    answer = kdray("models", "show", *words)
    assert answer.code == code
    assert expected in answer.err


def test_the_schema_is_printed_or_written(kdray: Kdray, tmp_path: Path) -> None:
    assert json.loads(kdray("schema").out) == json_schema()
    assert kdray("schema", "--out", "new/schema.json").code == 0
    assert json.loads((tmp_path / "new" / "schema.json").read_text()) == json_schema()
