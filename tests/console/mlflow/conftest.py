"""The stock client of MLflow in a process of its own, and bare requests as it sends them."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.clients import client_path
from tests.console.internal.conftest import console_process
from tests.factories.access import ApiTokenFactory
from tests.waiting import WAIT_S

__all__ = ["console_process"]
API = "/mlflow/api/2.0/mlflow"


@dataclass
class Program:
    """Runs Python that logs by MLflow; what it prints last is JSON."""

    url: str
    token: str
    home: Path
    path: str

    def run(self, code: str, **environment: str) -> Any:
        home = self.home / "home"
        home.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "PYTHONPATH": self.path,
                "MLFLOW_TRACKING_URI": f"{self.url}/mlflow",
                "MLFLOW_TRACKING_TOKEN": self.token,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
                "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
                "GIT_PYTHON_REFRESH": "quiet",
                "HF_HUB_OFFLINE": "1",
                **environment,
            },
            cwd=home, capture_output=True, text=True, timeout=WAIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def program_of(console_process, transactional_db, settings, tmp_path):
    """`program_of(user)`: a program with a token of that person."""
    settings.DATA_DIR = console_process.data_dir
    path = client_path("mlflow")

    def make(user, **token):
        secret = ApiTokenFactory(user=user, **token).secret
        return Program(console_process.url, secret, tmp_path, path)

    return make


class Wire:
    """Requests as a client of MLflow sends them; answers with status and body."""

    def __init__(self, client: APIClient) -> None:
        self.client = client

    def get(self, name: str, /, **query: Any) -> tuple[int, Any]:
        answer = self.client.get(f"{API}/{name}", query)
        return answer.status_code, answer.json()

    def post(self, name: str, /, **body: Any) -> tuple[int, Any]:
        answer = self.client.post(f"{API}/{name}", body, format="json")
        return answer.status_code, answer.json()

    def made(self, name: str, /, **body: Any) -> Any:
        status, answer = self.post(name, **body)
        assert status == 200, answer
        return answer

    def run(self, experiment: str = "0", **fields: Any) -> str:
        """A new run's id."""
        made = self.made("runs/create", experiment_id=experiment, **fields)
        return str(made["run"]["info"]["run_id"])

    def read(self, run_id: str) -> Any:
        status, answer = self.get("runs/get", run_id=run_id)
        assert status == 200, answer
        return answer["run"]


@pytest.fixture
def wire_for(api_for):
    """`wire_for(user, *scopes)`: a client of MLflow with a token of that person."""
    return lambda user, *scopes: Wire(api_for(user, *scopes))
