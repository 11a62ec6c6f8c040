#!/usr/bin/env bash
# Make .venv with every pinned, hashed requirement and kdray itself (editable).
#
# Needs: Python 3.11 or newer. Where Debian's `venv` module is missing, python3-venv is
# installed with apt-get (as root, or by sudo). Nothing is downloaded after this script.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=${VENV:-.venv}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "kdray needs Python 3.11 or newer; '$python' is $("$python" --version). Set PYTHON=python3.12, say." >&2
    exit 2
}
if [ ! -x "$venv/bin/python" ]; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        bash infra/debian-packages.sh python3-venv
    fi
    "$python" -m venv "$venv"
fi
if ! command -v uv >/dev/null 2>&1 && [ ! -x "$venv/bin/uv" ]; then
    "$venv/bin/python" -m pip install --quiet 'uv>=0.9'
fi
uv=$(command -v uv || echo "$PWD/$venv/bin/uv")
export VIRTUAL_ENV="$PWD/$venv"
# Compiled once: where PYTHONDONTWRITEBYTECODE is set, each process of Ray would compile torch anew.
"$uv" pip install --quiet --require-hashes --compile-bytecode --requirements requirements.txt
"$uv" pip install --quiet --no-deps --no-build-isolation --editable .
"$venv/bin/python" -m compileall -q kdray serve/kdray_serve
touch "$venv/.ready"
