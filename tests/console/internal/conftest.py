"""A console with a disk of its own, and this process as a node that does not see that disk."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from django.conf import settings as product
from django.db import connection

from launcher import ports
from models_app.core.actor import SYSTEM
from models_app.pools.joining import join_token_create, node_join
from tests.workers.conftest import wait_for


class Console:
    """`uvicorn console.asgi` on the test database; can be stopped and started again."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir, self.port, self.environment = data_dir, ports.choose(), environment
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        db = connection.settings_dict
        url = (
            f"postgresql://{quote(db['USER'])}:{quote(db['PASSWORD'])}"
            f"@{db['HOST']}:{db['PORT']}/{db['NAME']}"
        )
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "console.settings.web",
            "SLIPWAY_DATA_DIR": str(self.data_dir),
            **self.environment,
        }
        with (self.data_dir / "console.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "console.asgi:application", "--log-level",
                 "warning", "--port", str(self.port), "--timeout-graceful-shutdown", "2"],
                cwd=product.BASE_DIR, env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        wait_for(self._answers, "the console answers")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def blob(self, sha256: str) -> Path:
        """Where it lies on the console's disk."""
        return self.data_dir / "blobs" / sha256[:2] / sha256[2:4] / sha256

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/healthz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False


@pytest.fixture(scope="session")
def console_process(tmp_path_factory, django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        console = Console(tmp_path_factory.mktemp("console"))
        console.start()
    yield console
    console.stop()
    said = (console.data_dir / "console.log").read_text()
    if said.strip():
        print(said[-8000:])


@pytest.fixture
def node(console_process, transactional_db, tmp_path, settings):
    """This process has joined: its own folder is a cache of the console's store."""
    row, secret = node_join(token=join_token_create(actor=SYSTEM)[1], name="mars")
    settings.DATA_DIR = tmp_path / "node"
    settings.DATA_DIR.mkdir()
    settings.STORE_URL = console_process.url
    settings.NODE_NAME, settings.NODE_SECRET = row.name, secret
    return row


@pytest.fixture
def console(console_process, node):
    return console_process
