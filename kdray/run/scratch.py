"""A folder in the storage for Ray's own files, to which Ray has a client of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kdray.errors import StoreError
from kdray.store import Store

_REMEDY = (
    "Ray takes keys from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, in the "
    "environment of each node, not from the URI."
)


@contextmanager
def lend(store: Store, name: str) -> Iterator[str]:
    """Lend Ray a folder, by its URI; it is removed on leaving.

    Args:
        store: The storage.
        name: The folder, of this driver alone.

    Raises:
        StoreError: The storage refuses Ray.
    """
    try:
        yield store.uri_of(name)
    except ConnectionError:  # of Ray itself
        raise
    except OSError as error:  # as pyarrow, and tasks of Ray, raise it
        said = str(error).strip().splitlines()[-1:] or [repr(error)]
        remedy = "" if store.is_local else _REMEDY
        raise StoreError(
            store.called(name), f"cannot be used by Ray: {said[0]}", remedy
        ) from error
    finally:
        store.delete(name)
