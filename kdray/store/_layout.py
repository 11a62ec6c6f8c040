"""What a finished folder looks like in every storage."""

from __future__ import annotations

import json
from typing import Any

#: The file that makes a folder a finished result; written last.
DONE = "result.json"
#: In the result file of an object store: the folder below in which its writer put the files, so
#: that two writers of one name never mix theirs.
AT = "_at"


def dumped(result: dict[str, Any]) -> bytes:
    """Return a result as the bytes of its file."""
    return json.dumps(result, indent=1).encode()
