"""Named, numbered packages under a URI; an alias points at one of their versions.

Layout: ``<registry>/<name>/versions/<n>/...`` and ``<registry>/<name>/aliases/<alias>.json``.
A version is written once and never changed; only aliases move.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdray.errors import RegistryError
from kdray.registry.aliases import CHAMPION, Aliases, Seen
from kdray.registry.card import model_card
from kdray.registry.package import MANIFEST, check_file, checksum, read_package
from kdray.registry.serving import MANIFEST as SERVING
from kdray.registry.serving import told
from kdray.store import DONE, Store

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Pointed:
    """Where an alias pointed.

    Args:
        version: Number of the version; 0: nowhere.
        seen: What the alias file held.
    """

    version: int
    seen: Seen


class Registry:
    """The packages under a URI.

    Args:
        uri: A folder or ``s3://bucket/prefix``.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._store = Store(uri)
        self._aliases = Aliases(self._store)

    def names(self) -> list[str]:
        """Return the names that have a version, sorted."""
        found = self._store.list()
        return [name for name in found if _NAME.fullmatch(name) and self.versions(name)]

    def versions(self, name: str) -> list[int]:
        """Return the version numbers of a name, rising; empty where there is none."""
        files = self._store.sizes(f"{self._checked(name)}/versions")
        numbers = [file.removesuffix(f"/{DONE}") for file in files if file.endswith(f"/{DONE}")]
        return sorted(int(number) for number in numbers if number.isdigit())

    def aliases(self, name: str) -> dict[str, int]:
        """Return alias -> version of a name."""
        aliases = self._aliases.names(self._checked(name))
        return {alias: self._aliases.read(name, alias)[1]["version"] for alias in aliases}

    def history(self, name: str, alias: str = CHAMPION) -> list[dict[str, Any]]:
        """Return the moves of an alias, oldest first.

        Returns:
            ``time`` (UTC), ``action`` (``promote`` or ``rollback``), ``version``, and where there
            are any ``reason`` and ``conditions`` (``kdray.registry.gate.Condition``). Moves of
            kdray before 0.2 are not told.
        """
        self._versions(name)
        return self._aliases.history(name, alias)

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
        manifest = self._json(name, self.resolve(name, str(version)), MANIFEST)
        if manifest is None:
            where = self._store.called(f"{self._folder(name, version)}/{MANIFEST}")
            raise RegistryError(where, "this file is missing.")
        named = manifest.get("serving")
        known = {
            "serving": told(self._json(name, version, SERVING) or {}) if named else None,
            "metrics": self._json(name, version, "metrics.json") or {},
            "card": (self.read(name, version, "card.md") or b"").decode(),
        }
        return {"name": name, "version": version, **manifest, **known}

    def read(self, name: str, version: int, file: str) -> bytes | None:
        """Return a file of a version without the others, not compared with its checksum.

        Args:
            name: Name of the model.
            version: Number of a version.
            file: Name of the file; None is returned where the version has none of this name.
        """
        plain = Path(file).name == file and file not in ("", ".", "..")
        return self._store.read_in(self._folder(name, version), file) if plain else None

    def fetch(self, name: str, version: int) -> Path:
        """Return a local folder of a version, every file compared with its checksum.

        Raises:
            RegistryError: There is no such version, or a file is missing or damaged.
        """
        folder = self._folder(name, self.resolve(name, str(version)))
        files: dict[str, str] = self._store.finished(folder)["files"]
        path = self._store.fetch(folder)
        try:
            _check(path, files)
        except RegistryError:
            if self._store.is_local:
                raise
            path = self._store.fetch(folder, again=True)  # perhaps only the copy was damaged
            self._check_remote(folder, path, files)
        return path

    def add(self, name: str, folder: Path, *, key: str) -> int:
        """Return the new version that a package folder becomes.

        Args:
            name: Lower-case letters, digits, ``-`` and ``.``.
            folder: A package; its files are copied, and a model card is written where it has none.
            key: What the package is made from. The same key again returns the same version.

        Raises:
            RegistryError: The name is not allowed, or the package is damaged or has links.
        """
        self._checked(name)
        _refuse_links(folder)
        package = read_package(folder)
        while True:
            known = self.made_from(name, key)
            if known is not None:
                return known
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

    def made_from(self, name: str, key: str) -> int | None:
        """Return the version that ``add`` gave to a key; None: there is none."""
        known = {self._key(name, version): version for version in self.versions(name)}
        return known.get(key)

    def pointed(self, name: str, alias: str = CHAMPION) -> Pointed:
        """Return where an alias points now, to promote only if it does not move meanwhile.

        Raises:
            RegistryError: The alias is not allowed.
        """
        if not _NAME.fullmatch(alias) or alias.isdigit():
            problem = f"{alias!r} cannot be an alias."
            raise RegistryError(self._at(name), problem, "Use lower-case letters, digits and '-'.")
        seen = self._aliases.read(self._checked(name), alias)
        return Pointed(int(seen[1]["version"]), seen)

    def promote(
        self,
        name: str,
        version: int,
        alias: str = CHAMPION,
        *,
        note: Mapping[str, Any] | None = None,
        since: Pointed | None = None,
    ) -> None:
        """Let an alias point at a version; where it pointed before is remembered.

        Args:
            name: Name of the model.
            version: Number of a version.
            alias: The alias.
            note: What the history says besides: ``reason`` and ``conditions``.
            since: What ``pointed`` gave; None: now.

        Raises:
            RegistryError: There is no such version, the alias is not allowed, or another promotion
                moved it at the same moment.
        """
        since = since or self.pointed(name, alias)
        number = self.resolve(name, str(version))
        self._aliases.promote(name, alias, number, since.seen, note or {})

    def rollback(self, name: str, alias: str = CHAMPION, reason: str = "") -> int:
        """Let an alias point at the version before; return that version.

        Raises:
            RegistryError: There is no such alias, or nothing before it.
        """
        self._versions(name)
        return self._aliases.rollback(name, alias, reason)

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
            raise RegistryError(
                self._store.called(), f"the registry has no model {name!r}.", remedy
            )
        return versions

    def _checked(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            remedy = "Use lower-case letters, digits, '-' and '.'."
            raise RegistryError(
                self._store.called(), f"{name!r} cannot be the name of a model.", remedy
            )
        return name

    def _at(self, name: str) -> str:
        return self._store.called(name)

    def _folder(self, name: str, version: int) -> str:
        return f"{name}/versions/{version}"

    def _key(self, name: str, version: int) -> str:
        record = self._store.result(self._folder(name, version)) or {}
        return str(record.get("key", ""))

    def _check_remote(self, folder: str, path: Path, files: Mapping[str, str]) -> None:
        try:
            _check(path, files)
        except RegistryError as error:  # the user has to know the file that it is a copy of
            where = self._store.called(f"{folder}/{Path(error.where).name}")
            raise RegistryError(where, error.problem, error.remedy) from error

    def _json(self, name: str, version: int, file: str) -> Any | None:
        data = self.read(name, version, file)
        return None if data is None else json.loads(data)


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


def content_key(folder: Path) -> str:
    """Return a key for ``Registry.add`` of a package folder: the same files give the same.

    Raises:
        RegistryError: There is no such folder.
    """
    if not folder.is_dir():
        raise RegistryError(str(folder), "there is no such folder.")
    listed = "".join(f"{checksum(file)} {file.name}\n" for file in _files(folder))
    return hashlib.sha256(listed.encode()).hexdigest()


def _refuse_links(folder: Path) -> None:
    """Refuse a package that would take files from elsewhere along, perhaps secrets."""
    for file in _files(folder) if folder.is_dir() else ():
        if file.is_symlink():
            problem = "is a link, not a file of the package."
            raise RegistryError(str(file), problem, "Copy the file there, if it belongs there.")


def _copy(folder: Path, target: Path) -> None:
    for file in _files(folder):
        shutil.copyfile(file, target / file.name)


def _files(folder: Path) -> list[Path]:
    """Return the files of a package folder, by name."""
    found = (file for file in folder.iterdir() if file.is_file() and file.name != DONE)
    return sorted(file for file in found if not file.name.startswith("."))


def _check(folder: Path, files: Mapping[str, str]) -> None:
    for file, sha256 in files.items():
        check_file(folder, file, sha256)
