"""A bucket of an S3 server as storage: of two writers one wins, by conditional writes."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from kdray.errors import StoreError
from kdray.store._client import client_of, is_passing, problem_of
from kdray.store._files import move, writing
from kdray.store._layout import AT, DONE, dumped, new_place
from kdray.store._retry import patiently

Answer = TypeVar("Answer")

_LOST = (409, 412)  # another write at the same moment; the condition does not hold


class Objects:
    """The objects under a prefix of a bucket.

    Args:
        uri: ``s3://bucket/prefix?endpoint_override=...``.

    Raises:
        StoreError: The URI has no bucket, or a setting that is not known.
    """

    is_local = False

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self._bucket = parts.netloc
        if not self._bucket:
            raise StoreError(uri, "names no bucket.", "Use s3://bucket/prefix.")
        self._prefix = parts.path.strip("/")
        self.root = f"{self._bucket}/{self._prefix}".rstrip("/")
        self._settings = dict(parse_qsl(parts.query))
        self._client_of: tuple[int, Any] = (0, None)
        self._heard = False
        client_of(self._settings, where=f"s3://{self.root}", check_only=True)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs; the connection is its own."""
        return {**self.__dict__, "_client_of": (0, None)}

    def called(self, name: str) -> str:
        """Return what messages call ``name``; without the settings, which may hold a secret."""
        return f"s3://{self.root}/{name}" if name else f"s3://{self.root}"

    def read(self, name: str) -> bytes | None:
        """Return the bytes of an object, or None where there is none."""
        return self._read(name)[0]

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write an object; it appears when its upload is complete."""
        put = partial(self._client.put_object, Bucket=self._bucket, Key=self._key(name))
        self._ask(name, "written", partial(put, Body=bytes(data)))

    def replace(self, name: str, old: bytes | None, new: bytes) -> bool:
        """Write ``new`` only if the object still holds ``old``; the server decides."""
        now, tag = self._read(name)
        return now == old and self._put_if(name, new, tag)

    def decides(self, name: str) -> bool:
        """Return whether the server honours conditions: some ignore them without a word."""
        return self._put_if(name, b"1", None) and not self._put_if(name, b"2", None)

    def exists(self, name: str) -> bool:
        """Return whether an object, or one below this name, is there."""
        return any(
            key == self._key(name) or key.startswith(self._below(name))
            for prefix in (self._key(name), self._below(name))
            for key in self._first(prefix)
        )

    def names(self, name: str) -> Iterator[str]:
        """Yield the names directly under a prefix."""
        below = self._below(name)
        for page in self._pages(name, Prefix=below, Delimiter="/"):
            for item in page.get("CommonPrefixes", ()):
                yield item["Prefix"][len(below) :].rstrip("/")
            for item in page.get("Contents", ()):
                if item["Key"] != below:  # what some clients write as a folder
                    yield item["Key"][len(below) :]

    def sizes(self, name: str) -> dict[str, int]:
        """Return the key below ``name`` of each object there, with its bytes."""
        below = self._below(name)
        return {
            item["Key"][len(below) :]: int(item["Size"])
            for page in self._pages(name, Prefix=below)
            for item in page.get("Contents", ())
            if not item["Key"].endswith("/")
        }

    def delete(self, name: str) -> None:
        """Remove an object and all below its name, if there is any; first what shows it."""
        pages = self._pages(name, Prefix=self._below(name))
        below = [item["Key"] for page in pages for item in page.get("Contents", ())]
        below.sort(key=lambda key: key.rpartition("/")[2] != DONE)
        keys = [self._key(name), *below]
        for start in range(0, len(keys), 1000):
            self._ask(name, "deleted", partial(self._delete, keys[start : start + 1000]))

    def space(self, name: str, cache: Path) -> Path:
        """Return where a folder is filled that shall become ``name``."""
        return cache / "out"

    def take(self, folder: Path, name: str, result: dict[str, Any]) -> None:
        """Let a filled folder and its result appear as ``name``, unless it is there already.

        The files lie in a folder of their own, which the result names: another writer of the same
        name touches none of them, and a killed one leaves nothing that a reader would find.
        """
        if self.read(f"{name}/{DONE}") is not None:
            return
        at = new_place()
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            self._upload(file, f"{name}/{at}/{file.relative_to(folder).as_posix()}")
        if not self._put_if(f"{name}/{DONE}", dumped({**result, AT: at}), None):
            self.delete(f"{name}/{at}")

    def fetch(self, name: str, at: str, cache: Path, again: bool) -> Path:
        """Return a copy of a finished folder, made once; ``again`` makes it anew."""
        source = f"{name}/{at}" if at else name
        target = self._kept(source, cache)
        if again:
            shutil.rmtree(target, ignore_errors=True)
        if (target / DONE).exists():
            return target
        temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
        try:
            with writing(target):
                temporary.mkdir(parents=True)
                for key in self.sizes(source):
                    if not _is_below(key):
                        raise StoreError(self.called(source), f"has a file of the name {key!r}.")
                    (temporary / key).parent.mkdir(parents=True, exist_ok=True)
                    self._download(f"{source}/{key}", temporary / key)
                self._download(f"{name}/{DONE}", temporary / DONE)
                move(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return target

    def fetch_file(self, name: str, cache: Path) -> Path:
        """Return a copy of an object that never changes, made once."""
        target = self._kept(name, cache)
        if not target.exists():
            temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
            try:
                with writing(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    self._download(name, temporary)
                    os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
        return target

    @property
    def _client(self) -> Any:
        """The connection of this process: a forked one may not share its parent's."""
        if self._client_of[0] != os.getpid():
            self._client_of = (os.getpid(), client_of(self._settings, where=self.called("")))
        return self._client_of[1]

    def _key(self, name: str) -> str:
        return "/".join(part for part in (self._prefix, name) if part)

    def _below(self, name: str) -> str:
        key = self._key(name)
        return f"{key}/" if key else ""

    def _kept(self, name: str, cache: Path) -> Path:
        """Return where the cache keeps ``name``: two servers may have a bucket of one name."""
        server = hashlib.sha256(self._client.meta.endpoint_url.encode()).hexdigest()[:8]
        return cache / "in" / f"s3-{server}" / self._bucket / self._key(name)

    def _read(self, name: str) -> tuple[bytes | None, str | None]:
        """Return the bytes of an object and the tag of this state; None where there is none."""
        from botocore.exceptions import ClientError

        def get() -> tuple[bytes | None, str | None]:
            try:
                found = self._client.get_object(Bucket=self._bucket, Key=self._key(name))
                return bytes(found["Body"].read()), str(found["ETag"])
            except ClientError as error:
                if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                    return None, None
                raise

        return self._ask(name, "read", get)

    def _put_if(self, name: str, data: bytes, tag: str | None) -> bool:
        """Write if the object is still in the state of ``tag``, or absent; return if it was."""
        from botocore.exceptions import ClientError

        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        tries = 0

        def put() -> bool:
            nonlocal tries
            tries += 1
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=self._key(name), Body=data, **condition
                )
            except ClientError as error:
                meta = error.response["ResponseMetadata"]
                gone = tag is not None and error.response["Error"]["Code"] == "NoSuchKey"
                if not gone and meta["HTTPStatusCode"] not in _LOST:
                    raise
                # A try whose answer was lost may have been the one that won.
                return bool(tries > 1 or meta.get("RetryAttempts")) and self.read(name) == data
            return True

        return self._ask(name, "written", put)

    def _delete(self, keys: list[str]) -> None:
        from botocore.exceptions import ClientError

        chosen = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        answer = self._client.delete_objects(Bucket=self._bucket, Delete=chosen)
        for error in answer.get("Errors", ()):
            raise ClientError({"Error": error, "ResponseMetadata": {}}, "DeleteObjects")

    def _first(self, prefix: str) -> list[str]:
        ask = partial(self._client.list_objects_v2, Bucket=self._bucket, Prefix=prefix, MaxKeys=1)
        return [item["Key"] for item in self._ask("", "listed", ask).get("Contents", ())]

    def _pages(self, name: str, **query: str) -> Iterator[dict[str, Any]]:
        """Yield the pages of a listing; one that fails is asked for again, not all of them."""
        ask = partial(self._client.list_objects_v2, Bucket=self._bucket, **query)
        page: dict[str, Any] = self._ask(name, "listed", ask)
        yield page
        while after := page.get("NextContinuationToken"):
            page = self._ask(name, "listed", partial(ask, ContinuationToken=after))
            yield page

    def _upload(self, file: Path, name: str) -> None:
        put = partial(self._client.upload_file, str(file), self._bucket, self._key(name))
        self._ask(name, "written", put)

    def _download(self, name: str, file: Path) -> None:
        get = partial(self._client.download_file, self._bucket, self._key(name), str(file))
        self._ask(name, "read", get)

    def _ask(self, name: str, verb: str, act: Callable[[], Answer]) -> Answer:
        """Return what the server answers, asked again while it fails in passing.

        Raises:
            StoreError: It refuses, or did not answer for long.
        """
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = patiently(act, lambda error: is_passing(error, self._heard))
        except (ClientError, BotoCoreError, Boto3Error, OSError) as error:
            problem, remedy = problem_of(error, self._bucket, self._settings)
            raise StoreError(self.called(name), f"cannot be {verb}: {problem}", remedy) from error
        self._heard = True
        return answer


def _is_below(key: str) -> bool:
    """Return whether a key is a path that stays in its folder: a bucket may hold any name."""
    return not {"", ".", ".."} & set(key.split("/"))
