"""JSON Schema of the job files, for editors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from kdray.spec.experiment import Experiment
from kdray.spec.service import Service
from kdray.spec.suite import Suite
from kdray.spec.target import Target


def json_schema() -> dict[str, Any]:
    """Return one JSON Schema (2020-12) for every kind of job and for targets, chosen by ``kind``.

    Parts may be shortened to their names, so each place of a part also allows a string.
    """
    kinds: tuple[type[BaseModel], ...] = (Experiment, Suite, Service, Target)
    _, schema = models_json_schema([(kind, "validation") for kind in kinds])
    definitions = schema["$defs"]
    for place in ("Part", "Method", "Model", "ServedModel"):
        full = definitions[place]
        definitions[place] = {
            "description": full.get("description", ""),
            "anyOf": [{"type": "string"}, full],
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "kdray job",
        "oneOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in kinds],
        "$defs": definitions,
    }
