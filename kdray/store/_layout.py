"""What a finished folder looks like in every storage."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

#: The file that makes a folder a finished result; written last.
DONE = "result.json"
#: In the result file of an object store: the folder below in which its writer put the files, so
#: that two writers of one name never mix theirs.
AT = "_at"


def dumped(result: dict[str, Any]) -> bytes:
    """Return a result as the bytes of its file."""
    return json.dumps(result, indent=1).encode()


def new_place() -> str:
    """Return a name for the folder of a writer's files."""
    return uuid.uuid4().hex[:12]


def is_place(name: object) -> bool:
    """Return whether ``new_place`` can have made a name: one read from a storage leads nowhere."""
    return isinstance(name, str) and re.fullmatch(r"[0-9a-f]{12}", name) is not None
