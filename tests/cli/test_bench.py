"""``kdray bench`` measures in processes of its own; here in this one, with tiny networks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from kdray.bench import _plain, _taught, data, explain, record, step
from kdray.bench._room import Factory
from kdray.bench._taught import Lesson
from kdray.bench._timing import seconds_of
from kdray.bench.step import Case

Kdray = Callable[..., Any]
SMALL = ("--quick", "--threads", "1", "--json")
CNN = "cnn5_small"


class _Here:
    """Builds and times in this process."""

    def __init__(self, environment: Mapping[str, str], threads: int) -> None:
        self._built: dict[str, Callable[[], object]] = {}

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def build(self, factory: Factory, *args: Any) -> dict[str, Callable[[], float]]:
        self._built = dict(factory(*args))
        return {name: lambda name=name: seconds_of(self._built[name]) for name in self._built}

    def result(self, name: str) -> object:
        return self._built[name]()


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure in this process, with the smallest networks."""
    cases = (
        Case("recorded", CNN, CNN, Lesson("kd")),
        Case("dfkd", CNN, CNN, Lesson("dfkd")),
        Case("hdkd-live", CNN, CNN, Lesson("kd")),
        Case("alone", CNN),
    )
    monkeypatch.setattr(step, "CASES", cases)
    monkeypatch.setattr(data, "STUDENT", CNN)
    monkeypatch.setattr(record, "CASES", ((CNN, CNN, "kd"),))
    for module in (step, data, record):
        monkeypatch.setattr(module, "Room", _Here)


def test_steps_are_told_with_their_bars_and_the_machine(kdray: Kdray) -> None:
    told = json.loads(kdray("bench", "step", *SMALL, "--only", "recorded").out)
    assert told["settings"]["image_size"] == 64
    assert {"cpu", "cores", "torch", "load_average", "malloc"} <= set(told["machine"])
    first, reading, live = told["rows"]
    assert first["what"] == f"{CNN} -> {CNN} (kd): records / student alone"
    assert first["bar"] == 1.05
    assert first["met"] == (first["value"]["median"] <= 1.05)
    assert set(first["parts"]) == {"recorded", "plain"}
    assert reading["bar"] is live["bar"] is None


@pytest.mark.parametrize("kind", ["dfkd", "hdkd-live", "alone"])
def test_every_kind_of_step_can_be_chosen(kdray: Kdray, kind: str) -> None:
    told = json.loads(kdray("bench", "step", *SMALL, "--only", kind).out)
    assert told["rows"][0]["bar"] in (1.05, 0.8)
    assert told["rows"][0]["value"]["n"] >= 3


def test_explanations_are_told_for_a_model_and_kinds_of_ones_own(
    kdray: Kdray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain, "Room", _Here)
    told = json.loads(
        kdray("bench", "explain", *SMALL, "--model", CNN, "--only", "scores", "--count", "1").out
    )
    assert told["settings"]["image_size"] == 64
    assert told["machine"]["malloc"] == {}
    forwards = told["rows"][0]
    assert forwards["what"].startswith(f"{CNN} (random weights): all faithfulness scores")
    assert (forwards["bar"], forwards["at_least"], forwards["met"]) == (45, False, True)


def test_a_kind_of_explanations_that_is_not_there_is_refused(kdray: Kdray) -> None:
    answer = kdray("bench", "explain", "--only", "shap")
    assert answer.code == 2
    assert "cam, score-cam, fast, memory, scores" in " ".join(answer.err.split())


def test_a_kind_or_pair_that_is_not_there_is_refused_with_those_that_are(kdray: Kdray) -> None:
    answer = kdray("bench", "step", "--only", "sleep")
    assert answer.code == 2
    assert "recorded, dfkd, hdkd-live" in " ".join(answer.err.split())
    assert kdray("bench", "step", "--pair", "vgg20").code == 2


def test_reading_is_told_in_steps_and_in_images_a_second(kdray: Kdray) -> None:
    told = json.loads(kdray("bench", "data", *SMALL).out)
    assert [row["unit"] for row in told["rows"]] == ["ratio", "ratio", "images/s", "images/s"]
    assert told["inputs"]["read_images_s"] == told["rows"][-1]["value"]["median"]


def test_a_second_recording_shows_the_teacher_nothing(kdray: Kdray) -> None:
    told = json.loads(kdray("bench", "record", *SMALL).out)
    speed, again, logits = told["rows"]
    assert speed["parts_unit"] == "images/s"
    assert again["value"]["median"] == 0
    assert again["met"] is True
    # four classes in float32
    assert (logits["what"], logits["value"]["median"]) == (f"{CNN} for kd: logits, float32", 16)


def test_tables_are_printed_for_documents(kdray: Kdray) -> None:
    said = kdray("bench", "data", "--quick", "--threads", "1", "--markdown").out
    assert "| what | value | bar | met | made of |" in said
    assert "load_average" in said


def test_a_forecast_takes_what_search_and_data_measured(kdray: Kdray, tmp_path: Path) -> None:
    search = {
        "trial_s": 9.0,
        "between_s": 1.0,
        "start_s": 5.0,
        "rate_1": 0.1,
        "rate_2": 0.2,
        "trial_images": 1000,
        "record_images": 800,
        "record_s": 40.0,
        "record_workers": 2,
        "ask_few_s": 0.01,
        "ask_many_s": 0.01,
    }
    files = [tmp_path / "search.json", tmp_path / "data.json"]
    size = {"image_size": 64}
    files[0].write_text(json.dumps({"settings": size, "inputs": search}))
    files[1].write_text(json.dumps({"settings": size, "inputs": {"read_images_s": 10000.0}}))
    told = json.loads(kdray("bench", "scale", *map(str, files), "--json").out)
    assert [one["speedup"] for one in told["forecasts"]] == [1, 10, 50]
    assert told["forecasts"][0]["search_s"] == pytest.approx(5 + 1000 * 10 / 8 + 10)
    said = kdray("bench", "scale", *map(str, files), "--speedup", "2", "--markdown").out
    assert "1,000 trials on 8 workers" in said
    assert kdray("bench", "scale", str(files[1])).code != 0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"settings": 1, "inputs": {}}'])
def test_what_is_no_output_of_a_benchmark_is_refused(
    kdray: Kdray, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text(text)
    answer = kdray("bench", "scale", str(file))
    assert answer.code == 2
    assert "is no output of a benchmark" in " ".join(answer.err.split())


def test_outputs_about_images_of_different_sizes_are_not_put_together(
    kdray: Kdray, tmp_path: Path
) -> None:
    for size in (64, 224):
        output = {"settings": {"image_size": size}, "inputs": {}}
        (tmp_path / f"{size}.json").write_text(json.dumps(output))
    answer = kdray("bench", "scale", *(str(tmp_path / f"{size}.json") for size in (64, 224)))
    assert answer.code == 2
    assert "64 px" in answer.err
    assert "224 px" in answer.err


def test_a_gpu_that_is_not_here_is_refused(kdray: Kdray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    answer = kdray("bench", "data", "--quick", "--device", "cuda")
    assert answer.code == 2
    assert "no GPU is here" in answer.err


def test_a_live_teacher_is_laid_out_as_that_of_a_job() -> None:
    teacher = _plain.model(CNN, 2, _plain.Setting(image_size=32))
    _taught.live(teacher)
    weights = [weight for weight in teacher.module.parameters() if weight.dim() == 4]
    assert weights
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
