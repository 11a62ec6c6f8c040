from __future__ import annotations

import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kdray.cli
from kdray import __version__
from kdray.cli.main import PANELS
from kdray.run.journal import Journal
from kdray.store import Store

VERBS = [
    info.name
    for info in pkgutil.iter_modules(kdray.cli.__path__)
    if info.name != "main" and not info.name.startswith("_")
]
Kdray = Callable[..., Any]


def run(*words: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)


def test_the_version_is_shown(kdray: Kdray) -> None:
    answer = kdray("--version")
    assert (answer.code, answer.out) == (0, f"kdray {__version__}\n")


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_lists_every_verb(kdray: Kdray, verb: str) -> None:
    answer = kdray("--help")
    assert answer.code == 0
    assert any(line.split()[1:2] == [verb] for line in answer.out.splitlines())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(kdray: Kdray, verb: str) -> None:
    answer = kdray(verb, "--help")
    assert answer.code == 0
    assert f"Usage: kdray {verb}" in answer.out


def test_the_verbs_stand_in_the_order_of_a_days_work(kdray: Kdray) -> None:
    listed = kdray("--help").out.partition("Job")[2].splitlines()
    words = [line.split()[1] for line in listed if len(line.split()) > 1]
    ordered = [verb for names in PANELS.values() for verb in names if verb in VERBS]
    assert [word for word in words if word in ordered] == ordered


def test_every_verb_has_its_place(kdray: Kdray) -> None:
    assert set(VERBS) <= {verb for names in PANELS.values() for verb in names}


def test_no_verb_at_all_shows_the_help_and_is_wrong_usage(kdray: Kdray) -> None:
    answer = kdray()
    assert answer.code == 2
    assert "Usage: kdray" in answer.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nope"], "No such command 'nope'"),
        (["jobs", "--nope"], "No such option: --nope"),
        (["status"], "Missing argument 'JOB|SPEC|ID'"),
    ],
)
def test_wrong_usage_exits_2_and_is_said_on_standard_error(
    kdray: Kdray, words: list[str], said: str
) -> None:
    answer = kdray(*words)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


def test_a_wrong_job_file_exits_2_with_every_problem_on_standard_error(
    kdray: Kdray, spec: Path
) -> None:
    spec.write_text(spec.read_text().replace("name:", "nmae:").replace("source:", "sorce:"))
    answer = kdray("status", "job.yaml")
    assert (answer.code, answer.out) == (2, "")
    lines = answer.err.splitlines()
    assert lines[0].startswith("error job.yaml:")
    assert any("nmae" in line for line in lines)
    assert any("sorce" in line for line in lines)


def test_a_failure_exits_1_and_is_said_on_standard_error(kdray: Kdray) -> None:
    answer = kdray("jobs", "--storage", "ftp://here")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "error ftp://here: no storage is called 'ftp'. Use a path or s3://.\n"


def test_ctrl_c_exits_130_without_a_traceback(tmp_path: Path) -> None:
    with Journal(Store(str(tmp_path)), "tiny") as journal:
        journal.event("job_started", steps=[])
        command = [sys.executable, "-m", "kdray.cli.main", "logs", "-f", "tiny"]
        process = subprocess.Popen(
            [*command, "--storage", str(tmp_path)], stdout=-1, stderr=-1, text=True
        )
        assert process.stdout is not None
        assert "job started" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert (process.returncode, said) == (130, "")


@pytest.mark.parametrize("words", [["--help"], ["validate", "job.yaml"]])
def test_help_and_validate_import_neither_torch_nor_ray(words: list[str], spec: Path) -> None:
    if words[0] not in ("--help", *VERBS):
        pytest.skip(f"kdray has no verb {words[0]}")
    spec.write_text(spec.read_text().replace("methods: []", "methods: [none]"))
    code = (
        "import sys, kdray.cli.main as cli\n"
        "try: cli.main()\n"
        "except SystemExit as left: code = left.code or 0\n"
        "heavy = {'torch', 'ray', 'timm', 'torchvision', 'pytorch_grad_cam'} & set(sys.modules)\n"
        "sys.exit(f'{sorted(heavy)} {code}' if heavy or code else 0)\n"
    )
    done = run("-c", code, *words, cwd=spec.parent)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_shell_can_complete_verbs_and_options() -> None:
    env = {**os.environ, "_KDRAY_COMPLETE": "complete_bash"}
    program = ("-m", "kdray.cli.main")
    verbs = run(*program, env={**env, "COMP_WORDS": "kdray su", "COMP_CWORD": "1"})
    options = run(*program, env={**env, "COMP_WORDS": "kdray submit --w", "COMP_CWORD": "2"})
    assert (verbs.stdout, options.stdout) == ("submit\n", "--wait\n")


def test_bash_is_given_a_completion_script_for_kdray() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m kdray.cli.main --show-completion bash; exit $?"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "complete -o default -F _kdray_completion kdray" in done.stdout
