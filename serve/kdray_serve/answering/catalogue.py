"""What the registry tells of versions, without loading any of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from kdray import parts
from kdray.edge import answerable
from kdray.registry import Registry
from kdray.spec.service import Service
from kdray.spec.strict import Part
from kdray_serve.schema import Details, Input, Method, Share
from kdray_serve.work import Key


@dataclass(frozen=True)
class Standing:
    """What may change about a name: which aliases and versions it has.

    Args:
        aliases: Alias -> version.
        versions: Version numbers, rising.
    """

    aliases: Mapping[str, int]
    versions: tuple[int, ...]


class Catalogue:
    """The versions of a registry; what never changes is read once.

    Args:
        service: Names the registry, and the explanations on offer.
        may_use_torch: Whether explanations may be made by PyTorch; if not, those that need it are
            not on offer.
    """

    def __init__(self, service: Service, *, may_use_torch: bool = True) -> None:
        self._registry = Registry(service.registry)
        self._methods = [_method(part) for part in service.explain]
        self._may_use_torch = may_use_torch
        self._lock = threading.Lock()
        self._facts: dict[Key, dict[str, Any]] = {}

    def standing(self, name: str) -> Standing:
        """Return the aliases and versions of a name, as they are now.

        Raises:
            KdrayError: The registry cannot be read.
        """
        return Standing(self._registry.aliases(name), tuple(self._registry.versions(name)))

    def resolve(self, name: str, version: str) -> int:
        """Return the number that a version or alias stands for now.

        Raises:
            RegistryError: There is no such name, version or alias.
        """
        return self._registry.resolve(name, version)

    def details(
        self, wanted: Key, standing: Standing | None = None, canary: Share | None = None
    ) -> Details:
        """Return what is known of a version.

        Args:
            wanted: Its name and number.
            standing: Aliases and versions of the name; None: none are listed.
            canary: The version that answers a share of its requests.

        Raises:
            RegistryError: There is no such version.
        """
        facts = self._read(wanted)
        standing = standing or Standing({}, (wanted[1],))
        side = facts["image_size"]
        return Details(
            name=wanted[0],
            version=wanted[1],
            aliases=[name for name, number in standing.aliases.items() if number == wanted[1]],
            classes=facts["classes"],
            input=Input(width=side, height=side, channels=facts["channels"]),
            explanations=self._offered(facts["serving"]),
            teacher=_teacher(facts["lineage"]),
            calibrated=bool(facts["serving"].get("confidence")),
            samples=len(_samples(facts)),
            canary=canary,
            id=facts["id"],
            role=facts["role"],
            architecture=facts["model"],
            weights_sha256=facts["weights"]["sha256"],
            lineage=facts["lineage"],
            metrics=facts["metrics"],
            card=facts["card"],
            explanation_scores=facts["metrics"].get("explanations") or None,
            versions=list(standing.versions),
        )

    def sample(self, wanted: Key, number: int) -> bytes | None:
        """Return a sample image of a version, PNG; None where there are not so many."""
        samples = _samples(self._read(wanted))
        if not 0 <= number < len(samples):
            return None
        file = PurePosixPath(str(samples[number]["file"])).name  # the package's word, not a path
        return self._registry.read(*wanted, file)

    def _offered(self, serving: Mapping[str, Any]) -> list[Method]:
        if self._may_use_torch:
            return self._methods
        known = answerable(has_head=bool(serving.get("head")))
        parted = ((one, parts.canonical("explain", Part(name=one.name))) for one in self._methods)
        return [one for one, part in parted if part.name in known]

    def _read(self, wanted: Key) -> dict[str, Any]:
        with self._lock:
            known = self._facts.get(wanted)
        if known is None:
            serving = json.loads(self._registry.read(*wanted, "serving.json") or b"{}")
            known = {**self._registry.describe(*wanted), "serving": serving}
            with self._lock:
                self._facts[wanted] = known
        return known


def _samples(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(facts["serving"].get("samples") or ())


def _teacher(lineage: Mapping[str, Any]) -> str | None:
    teacher = lineage.get("teacher")
    if isinstance(teacher, Mapping) and "version" in teacher:
        return f"{teacher['name']}@{teacher['version']}"
    return None


def _method(part: Part) -> Method:
    """Return what an explanation does, in one line; of a preset with settings also its name."""
    header = parts.header("explain", parts.canonical("explain", part).name)
    title, preset = header.title, parts.presets("explain").get(part.name)
    if preset is not None and preset.params:
        called, colon, does = title.partition(":")
        title = f"{called} ({part.name}){colon}{does}"
    return Method(
        name=part.name, title=title, needs_class=bool(header.constants.get("CLASSWISE", True))
    )
