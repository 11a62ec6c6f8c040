"""``kind: Suite``: experiments that share a base, and the published tables they stand beside."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from kdray.spec.experiment import Experiment
from kdray.spec.override import put
from kdray.spec.places import SHORTHANDS
from kdray.spec.problem import Path
from kdray.spec.strict import Many, Name, Strict

#: What the suite itself says of each of its experiments.
OWN = ("apiVersion", "kind", "name", "description")


class Variant(Strict):
    """One experiment of the suite: the base with some fields set otherwise."""

    name: Name
    """Its job is called SUITE.NAME."""
    set: dict[str, Any] = Field(
        default_factory=dict, examples=[{"train.student.per_class": 50, "methods": ["none"]}]
    )
    """Fields that differ from the base: `path.to.field: value`, list items counted from 0."""


class Selector(Strict):
    """Which measured number belongs into a cell; a row and its column are read together."""

    experiment: str | None = None
    """Name of one of the experiments; may be left out where there is only one."""
    role: Literal["teacher", "student"] | None = None
    """Whose number it is; null: the student's."""
    teacher: str | None = None
    """Id of the teacher."""
    student: str | None = None
    """Id of the student."""
    method: str | None = None
    """Method of the student; null: any, if there is only one."""
    split: str = "test"
    """Split that is scored."""
    metric: str | None = None
    """A score such as accuracy, loss, f1, precision, recall, auc, support; a cost such as
    parameters, macs, macs_ptflops, latency_ms; or EXPLAINER.MEASURE, such as gradcam.met_ms."""
    of: str | None = None
    """For scores of classes: a class name, `macro` or `weighted`; null: macro."""


class Column(Selector):
    """One column of a published table."""

    title: str = Field(min_length=1)
    """Heading."""
    unit: Literal["", "%", "k", "M", "G", "ms", "s"] = ""
    """What the published number counts in; the measured one is shown in it too."""


class Row(Selector):
    """One row of a published table."""

    title: str = Field(min_length=1)
    """What the row is about."""
    published: Many[float | int | None]
    """The printed numbers, one a column; null where the paper prints none."""


class PublishedTable(Strict):
    """A table as a paper prints it, and what of it is measured."""

    title: str = Field(min_length=1)
    """Heading."""
    source: str = Field(min_length=1)
    """Paper and table."""
    columns: Many[Column] = Field(min_length=1)
    """What each column measures."""
    rows: Many[Row] = Field(min_length=1)
    """What each row measures, and the printed numbers."""
    notes: Many[str] = ()
    """What a reader of the comparison has to know."""

    @model_validator(mode="after")
    def _is_rectangular(self) -> PublishedTable:
        for row in self.rows:
            if len(row.published) != len(self.columns):
                raise ValueError(
                    f"row {row.title!r} has {len(row.published)} published numbers for "
                    f"{len(self.columns)} columns"
                )
        return self


class PublishedFigure(Strict):
    """A figure of a paper whose counterpart an experiment draws."""

    title: str = Field(min_length=1)
    """What it shows."""
    source: str = Field(min_length=1)
    """Paper and figure."""
    experiment: str | None = None
    """The experiment whose explanations correspond; may be left out where there is only one."""


class Smoke(Strict):
    """What `--smoke` needs to know of the suite."""

    image_size: int = Field(64, ge=32, le=512)
    """Image size of the trial run, pixels: models that take one size alone need theirs."""


class Suite(Strict):
    """Experiments that share a base, run as one job; their numbers beside published ones."""

    model_config = ConfigDict(title="kdray Suite")

    apiVersion: Literal["kdray/v1"]
    """Version of the job format."""
    kind: Literal["Suite"]
    """What the job is."""
    name: Name
    """Name of the job: lower-case letters, digits, `-` and `.`."""
    description: str = ""
    """What the suite is for, in your words."""
    base: dict[str, Any]
    """An Experiment without apiVersion, kind and name: what all experiments have in common."""
    experiments: Many[Variant] = Field(min_length=1)
    """The experiments."""
    tables: Many[PublishedTable] = ()
    """Published tables."""
    figures: Many[PublishedFigure] = ()
    """Published figures."""
    smoke: Smoke = Smoke()
    """The trial run with a few drawn images."""

    @field_validator("base")
    @classmethod
    def _is_no_job(cls, base: dict[str, Any]) -> dict[str, Any]:
        for key in OWN:
            if key in base:
                raise ValueError(f"{key} belongs to the suite: leave it out of the base")
        return base

    @model_validator(mode="after")
    def _names_fit(self) -> Suite:
        names = [variant.name for variant in self.experiments]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two experiments are called {twice[0]!r}")
        for variant in self.experiments:
            for field in variant.set:
                if field.partition(".")[0] in (*OWN, "storage"):
                    raise ValueError(
                        f"experiments cannot set {field}: it is the suite's, for all of them"
                    )
        for wanted in self._wanted():
            if wanted is None and len(names) > 1:
                raise ValueError("a cell or figure names none of the experiments")
            if wanted is not None and wanted not in names:
                raise ValueError(f"no experiment is called {wanted!r}: {', '.join(names)}")
        return self

    def _wanted(self) -> set[str | None]:
        cells = {
            row.experiment or column.experiment
            for table in self.tables
            for row in table.rows
            for column in table.columns
        }
        return cells | {figure.experiment for figure in self.figures}

    def job_name(self, experiment: str | None) -> str:
        """Return the name of an experiment's job; None: of the only one."""
        return f"{self.name}.{experiment or self.experiments[0].name}"

    def expanded(self) -> tuple[Experiment, ...]:
        """Return the experiments in full.

        Raises:
            ValidationError: One of them is not right (a job file's are checked when it is read).
        """
        tree = self.model_dump(mode="json")
        return tuple(
            Experiment.model_validate(experiment_tree(tree, index))
            for index in range(len(self.experiments))
        )


def experiment_tree(suite: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return one experiment of a suite's tree as a tree of its own.

    Raises:
        JobError: It sets a field where there is no place for it.
    """
    variant = suite["experiments"][index]
    tree: dict[str, Any] = {
        "apiVersion": suite["apiVersion"],
        "kind": "Experiment",
        "name": f"{suite['name']}.{variant['name']}",
        "description": suite.get("description") or "",
        **copy.deepcopy(suite["base"]),
    }
    for field, value in (variant.get("set") or {}).items():
        put(tree, field, copy.deepcopy(value), SHORTHANDS["Experiment"], f"set {field}")
    return tree


def is_expandable(suite: Mapping[str, Any]) -> bool:
    """Return whether a tree has a base and experiments to be put together, right or wrong."""
    variants = suite.get("experiments")
    return (
        isinstance(suite.get("base"), dict)
        and isinstance(variants, list)
        and {"apiVersion", "name"} <= set(suite)
        and all(
            isinstance(item, dict) and "name" in item and isinstance(item.get("set") or {}, dict)
            for item in variants
        )
    )


def origin(suite: Mapping[str, Any], index: int, path: Path) -> Path:
    """Return where in the suite's tree the value at ``path`` of an experiment is written."""
    if path in (("name",), ("apiVersion",)):
        return ("experiments", index, "name") if path == ("name",) else path
    given = suite["experiments"][index].get("set") or {}
    for field in sorted(given, key=len, reverse=True):
        steps = tuple(int(step) if step.isdigit() else step for step in field.split("."))
        if path[: len(steps)] == steps:
            return ("experiments", index, "set", field, *path[len(steps) :])
    return ("base", *path)
