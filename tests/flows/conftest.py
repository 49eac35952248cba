"""The whole application for the flows: console, worker, clock and browser on the test database."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as product

from tests.browser.conftest import (
    CHROMIUM,
    browser,
    console_url,
    new_page,
    screenshot,
    sign_in,
)
from tests.factories.deployments import environment
from tests.waiting import WAIT_S
from tests.workers.conftest import WorkerProcess

__all__ = ["browser", "console_url", "new_page", "screenshot", "sign_in"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason=f"no Chromium at {CHROMIUM}: run `make browser`")
    for item in items:
        ours = Path(__file__).parent in Path(item.path).parents
        if ours and item.get_closest_marker("browser") and not CHROMIUM.exists():
            item.add_marker(missing)


@pytest.fixture
def environments(transactional_db):
    """Production is protected; flushed tables have lost what the migrations put there."""
    for name, protected in (("development", False), ("staging", False), ("production", True)):
        row = environment(name)
        row.protected, row.required_approvals = protected, 1
        row.save()


@pytest.fixture
def worker(transactional_db, tmp_path, settings):
    """A worker as the launcher starts it; the console of this process uses its data directory."""
    settings.DATA_DIR = tmp_path
    process = WorkerProcess(tmp_path, SLIPWAY_WARM_TEMPLATE="1")  # many jobs: it pays
    process.start()
    yield process
    process.stop()
    said = (tmp_path / "worker.log").read_text(errors="replace")
    if said.strip():
        print(said[-8000:])


@pytest.fixture
def clock(worker):
    """Celery's beat, which lets deployments be reconciled and lost jobs be swept."""
    command = [
        sys.executable, "-m", "celery", "-A", "workers.celery", "beat", "--pidfile=",
        "-s", str(worker.data_dir / "beat"), "-l", "WARNING",
    ]  # fmt: skip
    with (worker.data_dir / "beat.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=product.BASE_DIR, env=worker.environment(), stdout=log, stderr=log
        )
        yield process
        process.terminate()
        process.wait(WAIT_S)
