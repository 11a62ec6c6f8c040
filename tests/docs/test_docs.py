"""The documents against the code: every field with its default, every verb, every link."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from kdray.cli.main import build
from kdray.spec import data, experiment, promote, service, space, suite, target

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])
#: Where the guide writes a field with its full path.
PREFIXES = {
    "Data": "data.",
    "Splits": "data.splits.",
    "Window": "data.window.",
    "Folds": "data.splits.folds.",
    "Duplicates": "data.duplicates.",
    "BadImages": "data.bad_images.",
    "Augment": "data.augment.",
    "Training": "train.",
    "Knowledge": "knowledge.",
    "Search": "search.",
    "Evaluate": "evaluate.",
    "Explain": "explain.",
    "Promote": "promote.",
    "Require": "promote.require.",
    "Resources": "resources.",
    "Storage": "storage.",
    "Smoke": "smoke.",
    "Autoscaling": "autoscaling.",
    "Limits": "limits.",
    "Batching": "batching.",
    "Canary": "canary.",
    "Shadow": "shadow.",
    "OutOfDistribution": "ood.",
    "Keys": "auth.",
    "RayCluster": "place.",
    "Kubernetes": "place.",
    "Local": "place.",
}
#: A default that YAML writes in another way than Python.
WRITTEN = {"pairs": "`all`", "budget": "`20GB`"}


def fields() -> Iterator[tuple[str, str]]:
    """Yield each field of the job files as the guide writes it, with its default."""
    for module in (data, experiment, promote, service, space, suite, target):
        for model in _models(module):
            for name, field in model.model_fields.items():
                default = field.get_default(call_default_factory=True)
                if not isinstance(default, BaseModel):
                    written = WRITTEN.get(name, _written(default))
                    yield PREFIXES.get(model.__name__, "") + name, written


def _models(module: ModuleType) -> list[type[BaseModel]]:
    found = [item for item in vars(module).values() if isinstance(item, type)]
    own = [item for item in found if item.__module__ == module.__name__]
    return [item for item in own if issubclass(item, BaseModel)]


def _written(default: Any) -> str:
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, tuple):
        return f"`[{', '.join(getattr(item, 'name', str(item)) for item in default)}]`"
    if isinstance(default, float):
        return f"`{default:g}`"
    return f"`{default}`" if default and isinstance(default, str) else f"`{json.dumps(default)}`"


def test_the_guide_names_every_field_with_its_default() -> None:
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    missing = [f"| `{name}` | {value} |" for name, value in fields()]
    missing = [row for row in missing if row not in guide]
    assert not missing


def test_every_verb_is_documented() -> None:
    import typer.main

    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    verbs = list(typer.main.get_command(build()).commands)  # type: ignore[attr-defined]
    headings = " ".join(line for line in text.splitlines() if line.startswith("### "))
    assert not [verb for verb in verbs if f"kdray {verb}" not in headings]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    inside = [link for link in links if "://" not in link]
    assert not [link for link in inside if not (path.parent / link).exists()]


def test_the_example_of_a_method_works(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from kdray.net import Look

    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code
    part = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", part)  # pydantic resolves annotations there
    exec(compile(code[1], "CONTRIBUTING.md", "exec"), vars(part))
    student, teacher = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 1.0]])
    method = part.Method(part.Params(alpha=0.0))
    terms = method(Look(student), Look(teacher), torch.tensor([0]))
    assert float(sum(terms.values())) == pytest.approx(0.5 * (2.0**2 + 1.0**2))
