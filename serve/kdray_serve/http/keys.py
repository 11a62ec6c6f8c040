"""Who may ask: API keys by their hashes, or anybody on this machine."""

from __future__ import annotations

import hmac
import logging
import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from kdray.errors import JobError
from kdray.spec.keys import ROLES, ApiKey, hashed, parse_keys, read_keys
from kdray.spec.service import Keys, Service, is_loopback
from kdray_serve.refusal import Refusal

_LOG = logging.getLogger("kdray.keys")
#: Longer ones are no keys, and not worth hashing.
_LONGEST = 512
#: Wrong keys that an address may try within a window of seconds.
_WRONG_KEYS, _WINDOW_S = 20, 60.0
#: Addresses that are remembered; the ones seen longest ago are forgotten first.
_ADDRESSES = 4096
Headers = Mapping[bytes, bytes]


class Guard(Protocol):
    """Lets requests in."""

    def admit(self, headers: Headers, address: str) -> tuple[str, frozenset[str]]:
        """Return the name and the roles of who asks.

        Args:
            headers: Of the request, names in lower case.
            address: Where it comes from.

        Raises:
            Refusal: 401 without a right key, 403 from a strange page, 429 after many wrong keys.
        """


def guard_of(service: Service, keys: Sequence[ApiKey] = ()) -> Guard:
    """Return the guard of a service.

    Args:
        service: Whose ``auth`` says who may ask.
        keys: The keys made at the start, where ``auth`` is null.

    Raises:
        JobError: The keys cannot be read, or there are none.
    """
    if service.auth == "none":
        return Anybody(service.cors)
    ring = _ring(service.auth, keys)
    if not ring.keys():
        raise JobError("auth", "there is no key, so nobody could ask.", "See `kdray keys add`.")
    return KeyHolders(ring)


class Keyring:
    """Keys that are looked at again when their source changes.

    Args:
        read: Returns the keys.
        stamp: Returns what changes with the source; cheap. None: the source is gone.
    """

    def __init__(
        self, read: Callable[[], Sequence[ApiKey]], stamp: Callable[[], object | None]
    ) -> None:
        self._read, self._stamp = read, stamp
        self._seen = stamp()
        self._keys = tuple(read())

    def keys(self) -> tuple[ApiKey, ...]:
        """Return the keys as they are now.

        A source that is gone has no keys. One that cannot be understood keeps those it had: a
        slip of an editor must not lock everybody out.
        """
        now = self._stamp()
        if now == self._seen:
            return self._keys
        self._seen = now
        try:
            self._keys = tuple(self._read()) if now is not None else ()
        except JobError as error:
            _LOG.error("the keys stay as they were: %s", error)
        else:
            _LOG.warning("the keys have changed; there are %d now", len(self._keys))
        return self._keys

    def owner(self, secret: bytes) -> ApiKey | None:
        """Return the key whose hash is that of ``secret``, comparing all in constant time."""
        digest = hashed(secret)
        found = None
        for key in self.keys():
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found


class KeyHolders:
    """Lets in who has a key: ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``.

    A right key is let in however many wrong ones came from the same address: behind a proxy all
    have one address, and 256 random bits need no protection against guessing. The limit spares
    log and processor.

    Args:
        ring: The keys.
        clock: Seconds; for tests.
    """

    def __init__(self, ring: Keyring, clock: Callable[[], float] = time.monotonic) -> None:
        self._ring = ring
        self._wrong = _Wrong(clock)

    def admit(self, headers: Headers, address: str) -> tuple[str, frozenset[str]]:
        """Return the name and the roles of the key."""
        secret = _secret(headers)
        if not secret:
            raise _unknown("This needs an API key: `Authorization: Bearer KEY`.")
        key = self._ring.owner(secret) if len(secret) <= _LONGEST else None
        if key is None:
            self._wrong.count(address)
            raise _unknown("The API key is not known here.", wrong=True)
        if key.is_over():
            raise _unknown(f"The API key {key.name!r} expired on {key.expires}.", wrong=True)
        return key.name, key.granted


class Anybody:
    """Lets in all that ask on this machine (``auth: none``).

    The service listens on loopback then. A page of the internet, open in a browser on this
    machine, could still send requests: by its own name, which it can point at 127.0.0.1 (hence
    the look at ``Host``), or across origins (hence the look at ``Origin``).

    Args:
        origins: Origins whose pages may ask.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = origins

    def admit(self, headers: Headers, address: str) -> tuple[str, frozenset[str]]:
        """Return a name for anybody, and all roles."""
        host = headers.get(b"host", b"").decode("latin-1")
        if not _is_here(host):
            detail = f"This service answers as localhost or 127.0.0.1 only, not as {host!r}."
            raise Refusal(403, detail)
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and origin.partition("://")[2] != host and origin not in self._origins:
            detail = f"Pages of {origin!r} may not ask here; `cors` of the job can allow them."
            raise Refusal(403, detail)
        return "anybody", frozenset(ROLES)


class _Wrong:
    """How many wrong keys each address has tried lately."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tries: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count(self, address: str) -> None:
        now, address = self._clock(), _network(address)
        since, tries = self._tries.pop(address, (now, 0))
        if now - since >= _WINDOW_S:
            since, tries = now, 0
        self._tries[address] = (since, tries + 1)
        if len(self._tries) > _ADDRESSES:
            self._tries.popitem(last=False)
        if tries >= _WRONG_KEYS:
            seconds = max(1, math.ceil(since + _WINDOW_S - now))
            detail = f"Too many wrong keys came from this address. Try again in {seconds} s."
            raise Refusal(429, detail, {"Retry-After": str(seconds)})


def _ring(auth: Keys | str | None, keys: Sequence[ApiKey]) -> Keyring:
    if not isinstance(auth, Keys):
        return Keyring(lambda: keys, lambda: 0)
    if auth.file is not None:
        file = Path(auth.file).expanduser()
        return Keyring(lambda: read_keys(file), lambda: _stamp(file))
    name = auth.environment or ""
    where = f"environment variable {name}"
    if name not in os.environ:
        raise JobError(where, "is not set.", "Give it the content of a file of `kdray keys`.")
    text = os.environ[name]
    return Keyring(lambda: parse_keys(text, where), lambda: 0)


def _stamp(file: Path) -> object | None:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


def _secret(headers: Headers) -> bytes:
    scheme, _, secret = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return secret.strip()
    return headers.get(b"x-api-key", b"").strip()


def _unknown(detail: str, *, wrong: bool = False) -> Refusal:
    challenge = 'Bearer realm="kdray"' + (', error="invalid_token"' if wrong else "")
    return Refusal(401, detail, {"WWW-Authenticate": challenge})


@lru_cache(maxsize=64)
def _is_here(host: str) -> bool:
    """Return whether a ``Host`` header names this machine, with or without a port."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _network(address: str) -> str:
    """Return what counts as one address: of IPv6, where each user has 2**64, the network."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        return str(ip_network((ip, 64), strict=False))
    return address
