"""The image: what it copies is there, and it holds what kdray needs, with hashes."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import tomllib
from importlib.metadata import requires, version
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "infra" / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = re.sub(r"\\\n|^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).splitlines()


def load() -> ModuleType:
    file = ROOT / "infra" / "image_requirements.py"
    spec = importlib.util.spec_from_file_location("image_requirements", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


image_requirements = load()


def copied() -> list[str]:
    """Return what is copied from the repository."""
    lines = [line.split()[1:-1] for line in INSTRUCTIONS if line.startswith("COPY ")]
    return [path for paths in lines if not paths[0].startswith("--from") for path in paths]


def ignored(path: str) -> bool:
    """Return whether .dockerignore keeps a path from the builder: the last line that fits says."""
    found = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        parents = [path, *map(str, Path(path).parents)]
        if any(fnmatch.fnmatch(parent, pattern) for parent in parents):
            found = not line.startswith("!")
    return found


def test_what_is_copied_is_there_and_reaches_the_builder() -> None:
    assert {"kdray", "serve", "requirements.txt", "pyproject.toml"} <= set(copied())
    assert not [path for path in copied() if not (ROOT / path).exists() or ignored(path)]


def test_what_is_not_copied_stays_here() -> None:
    names = {path.name for path in ROOT.iterdir()} | {".git", ".venv", "runs", "registry"}
    kept = {name for name in names if not ignored(name)}
    assert kept - {"infra"} == {path for path in copied() if "/" not in path}


def test_stages_are_copied_from_only_once_they_are_there() -> None:
    known: set[str] = set()
    for line in INSTRUCTIONS:
        if match := re.match(r"FROM (\S+)(?: AS (\S+))?", line):
            assert match[1] in known or match[1].startswith("python:"), line
            known.add(match[2])
        if match := re.match(r"COPY --from=(\S+)", line):
            assert match[1] in known, line
    assert {"cpu", "gpu"} <= known


def test_kdray_is_the_last_layer_so_that_its_change_leaves_those_of_its_packages() -> None:
    """Docker keeps the layers before the first that changes."""
    for stage in ("gpu", "cpu"):
        _, _, rest = "\n".join(INSTRUCTIONS).partition(f"FROM base AS {stage}\n")
        last = re.findall(r"^COPY --from=(\S+)", rest.partition("\nFROM ")[0], re.MULTILINE)
        assert last == [f"build-{stage}", "own"]
        _, _, build = "\n".join(INSTRUCTIONS).partition(f"FROM build AS build-{stage}\n")
        assert "COPY" not in build.partition("\nFROM ")[0]  # nothing of this repository's code


def test_it_runs_as_the_user_that_pods_have() -> None:
    from kdray.launch.kube.pods import USER
    from kdray.spec.target import HOME

    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == [f"{USER}:{USER}"] * 2
    assert f"HOME={HOME}" in DOCKERFILE
    assert f"--home-dir {HOME}" in DOCKERFILE


def test_it_holds_the_python_that_requirements_are_pinned_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [version] = re.findall(r"^ARG PYTHON=(3\.\d+)-slim", DOCKERFILE, re.MULTILINE)
    assert f">={version}" == project["requires-python"]
    extras = re.findall(r"--extra (\w+)", DOCKERFILE)
    assert set(extras) <= set(project["optional-dependencies"])


def test_all_is_checked_by_hashes_but_the_cpu_build_of_torch() -> None:
    lines = re.findall(r"uv pip install (.*?)(?: \\| &&|$)", DOCKERFILE, re.MULTILINE)
    unchecked = [line for line in lines if "--require-hashes" not in line]
    assert sorted(set(unchecked)) == [
        "--no-deps --torch-backend cpu --requirements torch.txt",
        "--no-deps /wheels/*.whl",
    ]


def test_no_address_of_a_registry_is_in_it() -> None:
    assert not re.findall(r"https?://|\w+\.(?:io|com|org|dev)/", DOCKERFILE)


def test_requirements_are_taken_with_their_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "requirements.txt").write_text(
        "numpy==2.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
        "pytest==8.4 \\\n    --hash=sha256:cc\n"
        "torch==2.11 ; sys_platform == 'linux' \\\n    --hash=sha256:dd\n"
        "nvidia-cublas==13.4 \\\n    --hash=sha256:ee\n"
    )
    (tmp_path / "names.txt").write_text("numpy==9\ntorch==9\nnvidia-cublas==9\n")
    monkeypatch.chdir(tmp_path)
    image_requirements.main(["names.txt"])
    everything = capsys.readouterr().out
    assert everything.startswith("numpy==2.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n")
    assert "torch==2.11 ; sys_platform == 'linux'" in everything
    assert "pytest" not in everything
    image_requirements.main(["names.txt", "--cpu"])
    assert re.findall(r"^\S+==", capsys.readouterr().out, re.MULTILINE) == ["numpy=="]
    image_requirements.main(["torch", "--versions"])
    assert capsys.readouterr().out == "torch==2.11 ; sys_platform == 'linux'\n"
    with pytest.raises(SystemExit, match=r"not in requirements\.txt: missing"):
        image_requirements.main(["numpy", "missing"])


def test_the_real_requirements_hold_what_the_image_asks_for() -> None:
    pinned = image_requirements.blocks((ROOT / "requirements.txt").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], "hatchling", "packaging", "pathspec", "pluggy"]
    for extra in re.findall(r"--extra (\w+)", DOCKERFILE):
        needed += project["optional-dependencies"][extra]
    names = {re.match(r"[a-z0-9-]+", line.lower())[0] for line in needed}  # type: ignore[index]
    assert names <= set(pinned)
    assert all("--hash=sha256:" in block for name in names for block in pinned[name])


def test_the_image_gets_each_package_in_the_version_that_is_installed_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    needed = [line for line in requires("kdray") or () if "extra ==" not in line]
    names = [canonicalize_name(Requirement(line).name) for line in needed]
    image_requirements.main(names)
    printed = capsys.readouterr().out
    found = [Requirement(line) for line in re.findall(r"^\w.*?(?= \\$)", printed, re.MULTILINE)]
    taken = [one for one in found if one.marker is None or one.marker.evaluate()]
    assert [f"{one.name}{one.specifier}" for one in taken] == [
        f"{name}=={version(name)}" for name in names
    ]
