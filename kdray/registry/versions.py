"""Named, numbered packages under a URI; an alias points at one of their versions.

Layout: ``<registry>/<name>/versions/<n>/...`` and ``<registry>/<name>/aliases/<alias>.json``.
A version is written once and never changed; only aliases move.
"""

from __future__ import annotations

import difflib
import json
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

from kdray.errors import RegistryError
from kdray.registry.card import model_card
from kdray.registry.package import check_file, checksum, read_package
from kdray.registry.serving import MANIFEST as SERVING
from kdray.registry.serving import told
from kdray.store import DONE, Store

#: The alias of the version that is served unless another is named.
CHAMPION = "champion"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


class Registry:
    """The packages under a URI.

    Args:
        uri: A folder or ``s3://bucket/prefix``.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._store = Store(uri)

    def names(self) -> list[str]:
        """Return the names that have a version, sorted."""
        return [
            name for name in self._store.list() if _NAME.fullmatch(name) and self.versions(name)
        ]

    def versions(self, name: str) -> list[int]:
        """Return the version numbers of a name, rising; empty where there is none."""
        found = self._numbers(self._checked(name))
        return [n for n in found if self._store.exists(f"{self._folder(name, n)}/{DONE}")]

    def aliases(self, name: str) -> dict[str, int]:
        """Return alias -> version of a name."""
        files = self._store.list(f"{self._checked(name)}/aliases")
        aliases = [file.removesuffix(".json") for file in files if file.endswith(".json")]
        return {alias: self._alias(name, alias)[1]["version"] for alias in aliases}

    def resolve(self, name: str, version_or_alias: str = CHAMPION) -> int:
        """Return the version number that a number or an alias stands for.

        Raises:
            RegistryError: There is no such name, version or alias.
        """
        versions = self._versions(name)
        if version_or_alias.isdigit():
            number = int(version_or_alias)
        else:
            aliases = self.aliases(name)
            if version_or_alias not in aliases:
                known = ", ".join(aliases) or "none"
                problem = f"{name} has no alias {version_or_alias!r}."
                raise RegistryError(self._at(name), problem, f"Its aliases: {known}.")
            number = aliases[version_or_alias]
        if number not in versions:
            known = ", ".join(str(version) for version in versions)
            problem = f"{name} has no version {number}."
            raise RegistryError(self._at(name), problem, f"Its versions: {known}.")
        return number

    def describe(self, name: str, version: int) -> dict[str, Any]:
        """Return ``model.json`` of a version with its ``metrics`` and ``card``, not its weights.

        ``serving`` says what it is served by: ``onnx_bytes``, ``gradient_maps_without_torch``,
        ``confidence`` and the number of ``samples``; None for a package that has no such files.

        Raises:
            RegistryError: There is no such version, or it has no ``model.json``.
        """
        folder = self._folder(name, self.resolve(name, str(version)))
        manifest = self._store.read_json(f"{folder}/model.json")
        if manifest is None:
            raise RegistryError(f"{self.uri}/{folder}/model.json", "this file is missing.")
        metrics = self._store.read_json(f"{folder}/metrics.json") or {}
        card = (self._store.read(f"{folder}/card.md") or b"").decode()
        named = manifest.get("serving")
        serving = told(self._store.read_json(f"{folder}/{SERVING}") or {}) if named else None
        known = {"serving": serving, "metrics": metrics, "card": card}
        return {"name": name, "version": version, **manifest, **known}

    def fetch(self, name: str, version: int) -> Path:
        """Return a local folder of a version, every file compared with its checksum.

        Raises:
            RegistryError: There is no such version, or a file is missing or damaged.
        """
        folder = self._folder(name, self.resolve(name, str(version)))
        path = self._store.fetch(folder)
        for file, sha256 in self._store.result(folder)["files"].items():  # type: ignore[index]
            check_file(path, file, sha256)
        return path

    def add(self, name: str, folder: Path, *, key: str) -> int:
        """Return the new version that a package folder becomes.

        Args:
            name: Lower-case letters, digits, ``-`` and ``.``.
            folder: A package; its files are copied, and a model card is written where it has none.
            key: What the package is made from. The same key again returns the same version.

        Raises:
            RegistryError: The name is not allowed, or the package is damaged.
        """
        self._checked(name)
        package = read_package(folder)
        while True:
            known = {self._key(name, version): version for version in self.versions(name)}
            if key in known:
                return known[key]
            number = max(self._numbers(name), default=0) + 1
            record: dict[str, Any] = {"name": name, "version": number, "key": key, "files": {}}
            with self._store.publish(self._folder(name, number), record) as target:
                _copy(folder, target)
                if not package.card():
                    card = model_card(
                        package, package.metrics(), title=f"{name}, version {number}"
                    )
                    (target / "card.md").write_text(card, encoding="utf-8")
                record["files"] |= {file.name: checksum(file) for file in sorted(target.iterdir())}
            # Another writer may have taken the number; then publish kept theirs, and we try again.

    def promote(self, name: str, version: int, alias: str = CHAMPION) -> None:
        """Let an alias point at a version; where it pointed before is remembered.

        Raises:
            RegistryError: There is no such version, the alias is not allowed, or another promotion
                moved it at the same moment.
        """
        if not _NAME.fullmatch(alias) or alias.isdigit():
            problem = f"{alias!r} cannot be an alias."
            raise RegistryError(self._at(name), problem, "Use lower-case letters, digits and '-'.")
        number = self.resolve(name, str(version))
        before, now = self._alias(name, alias)
        if now["version"] != number:
            history = [*now["history"], now["version"]] if now["version"] else []
            self._move(name, alias, before, {"version": number, "history": history})

    def rollback(self, name: str, alias: str = CHAMPION) -> int:
        """Let an alias point at the version before; return that version.

        Raises:
            RegistryError: There is no such alias, or nothing before it.
        """
        self._versions(name)
        before, now = self._alias(name, alias)
        if not now["history"]:
            problem = f"the alias {alias!r} has pointed at no other version."
            raise RegistryError(self._at(name), problem, "Use `kdray registry promote`.")
        *history, number = now["history"]
        self._move(name, alias, before, {"version": number, "history": history})
        return int(number)

    def export(self, name: str, version: int, target: Path) -> None:
        """Copy a version to a new folder.

        Raises:
            RegistryError: There is no such version, it is damaged, or the folder is not empty.
        """
        folder = self.fetch(name, version)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise RegistryError(str(target), "is already there.", "Name a new or empty folder.")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        temporary.mkdir()
        try:
            _copy(folder, temporary)
            temporary.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _numbers(self, name: str) -> list[int]:
        """Return the taken numbers, also those whose upload is not finished, rising."""
        found = self._store.list(f"{name}/versions")
        return sorted(int(number) for number in found if number.isdigit())

    def _versions(self, name: str) -> list[int]:
        versions = self.versions(name)
        if not versions:
            names = self.names()
            close = difflib.get_close_matches(name, names, n=1)
            known = f"Did you mean {close[0]!r}?" if close else f"It has: {', '.join(names)}."
            remedy = known if names else "It is empty: a job with `promote` fills it."
            raise RegistryError(self.uri, f"the registry has no model {name!r}.", remedy)
        return versions

    def _checked(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            remedy = "Use lower-case letters, digits, '-' and '.'."
            raise RegistryError(self.uri, f"{name!r} cannot be the name of a model.", remedy)
        return name

    def _at(self, name: str) -> str:
        return f"{self.uri}/{name}"

    def _folder(self, name: str, version: int) -> str:
        return f"{name}/versions/{version}"

    def _key(self, name: str, version: int) -> str:
        record = self._store.result(self._folder(name, version)) or {}
        return str(record.get("key", ""))

    def _alias(self, name: str, alias: str) -> tuple[bytes | None, dict[str, Any]]:
        """Return the bytes of an alias file and what they say; version 0 where there is none."""
        raw = self._store.read(f"{name}/aliases/{alias}.json")
        return raw, {"version": 0, "history": []} if raw is None else json.loads(raw)

    def _move(self, name: str, alias: str, before: bytes | None, now: dict[str, Any]) -> None:
        file = f"{name}/aliases/{alias}.json"
        if not self._store.replace(file, before, json.dumps(now).encode()):
            problem = f"someone else moved the alias {alias!r} at the same moment."
            raise RegistryError(self._at(name), problem, "Look where it points, and repeat.")


def locate(model: str, registry: str = "registry") -> tuple[Path, str]:
    """Return the package folder that a user means, and what to call it.

    Args:
        model: A package folder, or ``name``, ``name@version``, ``name@alias`` of the registry.
        registry: URI of the registry.

    Raises:
        RegistryError: Neither is there.
    """
    if "/" in model or (Path(model) / "model.json").is_file():
        return Path(model), str(model)
    name, _, version = model.partition("@")
    known = Registry(registry)
    number = known.resolve(name, version or CHAMPION)
    return known.fetch(name, number), f"{name}@{number}"


def _copy(folder: Path, target: Path) -> None:
    for file in sorted(folder.iterdir()):
        if file.is_file() and not file.name.startswith(".") and file.name != DONE:
            shutil.copyfile(file, target / file.name)
