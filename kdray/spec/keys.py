"""API keys of a service: a list of names, roles and hashes. The keys themselves are nowhere kept.

A key is 256 random bits, so one round of SHA-256 protects it: slow hashes are for passwords,
which can be guessed from lists; nobody guesses 256 random bits, however fast the hash is. A fast
hash keeps the check below the cost of reading a request.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from kdray.errors import JobError, StoreError
from kdray.spec.strict import Many, Strict
from kdray.spec.yaml import Document

Role = Literal["predict", "explain", "admin"]
#: From the least to the most; each holds those before it.
ROLES: tuple[Role, ...] = get_args(Role)
_PREFIX = "kdray_"
_REMEDY = "Write it with `kdray keys add`."
_MODE = 0o600


class ApiKey(Strict):
    """A key: whose it is and what it opens, without the key itself."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}$")]
    """Whose it is; written into the audit log."""
    roles: Many[Role] = Field(min_length=1)
    """`predict`, `explain` (holds predict) and `admin` (holds all); `role: predict` for one."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the key, hexadecimal."""
    created: Annotated[date | None, Field(strict=False)] = None
    """The day it was made (UTC)."""
    expires: Annotated[date | None, Field(strict=False)] = None
    """The last day on which it opens anything (UTC); null: no end."""

    @model_validator(mode="before")
    @classmethod
    def _one_role(cls, value: Any) -> Any:
        if isinstance(value, dict) and "role" in value and "roles" not in value:
            return {**{k: v for k, v in value.items() if k != "role"}, "roles": (value["role"],)}
        return value

    @property
    def granted(self) -> frozenset[str]:
        """All roles that it has, those held by others included."""
        highest = max(ROLES.index(role) for role in self.roles)
        return frozenset(ROLES[: highest + 1])

    def is_over(self, today: date | None = None) -> bool:
        """Return whether its last day has passed."""
        return self.expires is not None and (today or _today()) > self.expires


def make_key(name: str, roles: Iterable[Role], expires: date | None = None) -> tuple[str, ApiKey]:
    """Return a new key, and what is kept of it."""
    secret = _PREFIX + secrets.token_urlsafe(32)
    kept = ApiKey(
        name=name,
        roles=tuple(roles),
        sha256=hashed(secret.encode()),
        created=_today(),
        expires=expires,
    )
    return secret, kept


def hashed(secret: bytes) -> str:
    """Return the SHA-256 of a key, hexadecimal."""
    return hashlib.sha256(secret).hexdigest()


def parse_keys(text: str, where: str) -> tuple[ApiKey, ...]:
    """Return the keys of a YAML or JSON list.

    Args:
        text: The list.
        where: What to call it in errors.

    Raises:
        JobError: It is no list of keys, or a name or hash stands there twice.
    """
    document = Document(text, where, {})
    if document.problems:
        raise document.problems[0]
    tree = [] if document.tree is None else document.tree
    if not isinstance(tree, list):
        raise JobError(where, "is no list of keys.", _REMEDY)
    try:
        keys = _LIST.validate_python(tree)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        path = tuple(step for step in first["loc"])
        raise JobError(document.place(path), f"{first['msg']}.", _REMEDY) from None
    for field in ("name", "sha256"):
        values = [getattr(key, field) for key in keys]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise JobError(where, f"two keys have the {field} {twice!r}.", "Keep one.")
    return keys


def read_keys(file: Path) -> tuple[ApiKey, ...]:
    """Return the keys of a file.

    Raises:
        JobError: It cannot be read, or is no list of keys.
    """
    try:
        return parse_keys(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise JobError(str(file), f"cannot be read: {reason}.", _REMEDY) from error


def change_keys(
    file: Path, change: Callable[[tuple[ApiKey, ...]], Sequence[ApiKey]]
) -> tuple[ApiKey, ...]:
    """Change a file of keys; it is written whole, and only its owner may read it.

    Args:
        file: The file; a missing one has no keys.
        change: Makes the new keys of those that are there.

    Raises:
        JobError: The file is no list of keys.
        StoreError: It cannot be written.
    """
    file = Path(os.path.realpath(file))
    try:
        folder = os.open(file.parent, os.O_RDONLY)
    except OSError as error:
        raise StoreError(str(file), f"cannot be written: {error.strerror}.") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # two changes at once come one after the other
        keys = tuple(change(read_keys(file) if file.exists() else ()))
        _write(file, _text(keys).encode())
    except OSError as error:
        raise StoreError(str(file), f"cannot be written: {error.strerror}.") from error
    finally:
        os.close(folder)
    return keys


def _write(file: Path, data: bytes) -> None:
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _text(keys: Sequence[ApiKey]) -> str:
    import yaml

    rows = [key.model_dump(mode="json", exclude_none=True) for key in keys]
    # Quotes keep a name like 1e3 a word.
    text = yaml.safe_dump(rows, sort_keys=False, default_style='"')
    return f"# API keys of `kdray serve`, as hashes: see `kdray keys`.\n{text}"


def _today() -> date:
    return datetime.now(UTC).date()


_LIST = TypeAdapter(Annotated[tuple[ApiKey, ...], Field(strict=False)])
