"""The server of a test run, started when the first test asks for it; and its buckets."""

import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from models_app.core.storage import s3_client
from tests.clients import client_folder, is_installed

KEY_ID, SECRET = "test:tester", "testing"
BUCKET = "slipway-files"


class S3Server:
    """Swift, until `stop`."""

    def __init__(self, folder: Path) -> None:
        if not is_installed("swift"):
            pytest.skip("the S3 server of the tests is not installed: make env-dev")
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("all_in_one.py")), str(folder)],
            env={**os.environ, "PYTHONPATH": str(client_folder("swift"))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "swift.log").open("wb"),
            text=True,
        )
        assert self.process.stdout
        word, _, port = self.process.stdout.readline().partition(" ")
        assert word == "ready", (folder / "swift.log").read_text()[-2000:]
        self.port = int(port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.client().create_bucket(Bucket=BUCKET)

    def client(self) -> Any:
        return s3_client.connect(
            endpoint=self.url, region="us-east-1", key_id=KEY_ID, secret=SECRET
        )

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def use_bucket(settings: Any, endpoint: str) -> str:
    """Let files lie in an empty corner of the bucket; returns its URL."""
    settings.BLOB_URL = f"s3://{BUCKET}/{uuid.uuid4().hex[:8]}"
    settings.BLOB_ENDPOINT = endpoint
    settings.BLOB_KEY_ID, settings.BLOB_SECRET = KEY_ID, SECRET
    return settings.BLOB_URL
