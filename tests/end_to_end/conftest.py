"""The job that the others are compared with."""

from __future__ import annotations

import pytest

from tests.end_to_end.driver import Kdray


@pytest.fixture(scope="session")
def undisturbed(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Kdray:
    """Return a job in a folder that ran to its end without a disturbance."""
    kdray = Kdray(tmp_path_factory.mktemp("undisturbed"), cluster)
    code, output = kdray.run("run", "job.yaml", "--plain")
    assert code == 0, output
    return kdray
