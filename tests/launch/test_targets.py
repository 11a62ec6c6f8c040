from __future__ import annotations

from pathlib import Path

import pytest

from kdray.errors import JobError, JobErrors
from kdray.launch.here import Here
from kdray.launch.targets import find_target, open_place, targets_folder
from kdray.spec import load_target
from kdray.spec.target import Kubernetes, RayCluster

ROOT = Path(__file__).resolve().parents[2]
LAB = """\
apiVersion: kdray/v1
kind: Target
name: lab
storage: s3://lab/runs
place:
  kind: kubernetes
  namespace: ml
  groups: [{name: gpu, gpus: 1, max: 3}]
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose user has a target ``lab``."""
    (tmp_path / "lab.yaml").write_text(LAB)
    return {"KDRAY_TARGETS": str(tmp_path)}


def test_nothing_said_is_this_machine(env: dict[str, str]) -> None:
    assert isinstance(open_place(find_target(None, env)), Here)


def test_the_environment_names_the_target_where_the_command_does_not(env: dict[str, str]) -> None:
    env["KDRAY_TARGET"] = "lab"
    assert find_target(None, env).name == "lab"
    assert find_target("local", env).name == "local"


def test_an_address_is_a_ray_cluster() -> None:
    place = find_target("https://head:8265", {}).place
    assert isinstance(place, RayCluster)
    assert place.address == "https://head:8265"


def test_a_path_is_a_target_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(LAB)
    assert find_target(str(file), {}).storage == "s3://lab/runs"


def test_a_name_is_a_file_of_the_users_folder(env: dict[str, str]) -> None:
    place = find_target("lab", env).place
    assert isinstance(place, Kubernetes)
    assert place.groups[0].gpus == 1


def test_a_file_of_the_user_comes_before_what_is_built_in(env: dict[str, str]) -> None:
    Path(env["KDRAY_TARGETS"], "kubernetes.yaml").write_text(LAB)
    assert find_target("kubernetes", env).name == "lab"


def test_variables_in_a_target_file_are_filled_in(env: dict[str, str]) -> None:
    file = Path(env["KDRAY_TARGETS"], "lab.yaml")
    file.write_text(LAB.replace("namespace: ml", "namespace: ${TEAM}"))
    place = find_target("lab", {**env, "TEAM": "imaging"}).place
    assert isinstance(place, Kubernetes)
    assert place.namespace == "imaging"


def test_the_users_folder_follows_the_settings_of_the_desktop() -> None:
    assert targets_folder({"XDG_CONFIG_HOME": "/etc/me"}) == Path("/etc/me/kdray/targets")
    assert targets_folder({}) == Path("~/.config/kdray/targets").expanduser()


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("labb", "Did you mean 'lab'?"),
        ("kubernets", "Did you mean 'kubernetes'?"),
        ("head:8265", "Did you mean 'http://head:8265'?"),
        ("ray://head:10001", "the Jobs API, such as http://HEAD:8265"),
        ("zzz", "There are: local, ray, kubernetes, lab."),
    ],
)
def test_a_target_that_is_not_there_is_told_with_what_may_be_meant(
    env: dict[str, str], given: str, remedy: str
) -> None:
    with pytest.raises(JobError) as failed:
        find_target(given, env)
    assert failed.value.where == "--to"
    assert remedy in failed.value.remedy


def test_a_wrong_name_in_the_environment_is_told_as_such(env: dict[str, str]) -> None:
    with pytest.raises(JobError, match="KDRAY_TARGET: there is no target 'nope'"):
        find_target(None, {**env, "KDRAY_TARGET": "nope"})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "namespace",
            "namespce",
            ":7:3: place.namespce: no such field. Did you mean 'namespace'?",
        ),
        ("gpus:", "gpu:", ":8:24: place.groups.0.gpu: no such field. Did you mean 'gpus'?"),
        (
            "kind: kubernetes",
            "kind: kubernets",
            ":6:9: place.kind: there is no 'kubernets'. Did you mean 'kubernetes'?",
        ),
        ("  kind: kubernetes\n", "", "place.kind: this field is missing."),
        ("max: 3", "max: 3, min: 4", ":8:12: place.groups.0: min 4 is above max 3."),
        ("kind: Target", "kind: Suite", "is a Suite, not a Target."),
        ("kind: Target", "kind: Targte", ":2:7: kind: input should be 'Target', not 'Targte'"),
        ("name: lab\n", "name: lab\nname: lob\n", ":4:1: the field 'name' stands here twice."),
    ],
)
def test_a_problem_of_a_target_file_is_told_with_its_place_and_what_was_meant(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(LAB.replace(old, new))
    with pytest.raises((JobError, JobErrors)) as failed:
        load_target(file, {})
    assert said in str(failed.value)


def test_a_target_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="Give the path of a target file"):
        find_target(str(tmp_path / "none.yaml"), {})


@pytest.mark.parametrize("file", sorted((ROOT / "cluster" / "targets").glob("*.yaml")))
def test_the_targets_that_come_with_kdray_are_right(file: Path) -> None:
    assert load_target(file, {}).place.kind in ("ray", "kubernetes")
