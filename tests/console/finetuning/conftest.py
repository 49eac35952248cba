"""A base that can chat, and files of conversations, as clients send them."""

import io
import json
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from models_app.core.blobs import tree_put
from models_app.core.digests import tree_digest
from models_app.finetuning.models import TuningFile
from models_app.registry.models import Model, ModelVersion
from tests.factories.access import ApiTokenFactory
from tests.factories.data import finished
from tests.workers.lm.recording import Recorder
from tests.workers.lm.training.conversations import answering_spec, run_on, sums

ARCHITECTURE = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 300}


def lines(rows) -> bytes:
    """As JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


class Asking:
    """Django's client with a key, for answers as JSON."""

    def __init__(self, user, *scopes: str, team=None) -> None:
        key = ApiTokenFactory(user=user, team=team, scopes=list(scopes or ["read", "write"]))
        self.secret = key.secret
        self._client = Client(headers={"authorization": f"Bearer {key.secret}"})

    def get(self, path: str, **query):
        return self._client.get(f"/v1/{path}", query)

    def post(self, path: str, data=None, **headers):
        return self._client.post(
            f"/v1/{path}", json.dumps(data or {}), content_type="application/json",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )  # fmt: skip

    def delete(self, path: str):
        return self._client.delete(f"/v1/{path}")

    def upload(self, data: bytes, name: str = "chats.jsonl", purpose: str = "fine-tune", **headers):
        file = SimpleUploadedFile(name, io.BytesIO(data).getvalue())
        return self._client.post(
            "/v1/files", {"purpose": purpose, "file": file},
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )  # fmt: skip


@pytest.fixture
def asking(ana, team):
    """Ana's key."""
    return Asking(ana)


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory) -> Path:
    """A tiny model that has learned to answer."""
    root = tmp_path_factory.mktemp("tuned-base")
    run_on(root, Recorder(), answering_spec(steps=40, dropout=0.0), sums(80, 3))
    return root / "out"


def base_version(team, folder: Path) -> ModelVersion:
    """It as a ready version, talker v1."""
    manifest = tree_put(folder)
    model = Model.objects.create(team=team, name="talker")
    return ModelVersion.objects.create(
        model=model, number=1, state="ready", manifest=manifest, digest=tree_digest(manifest),
        size_bytes=sum(entry["size"] for entry in manifest.values()),
        facts={"model_type": "gpt2", "context": 48, "vocab_size": 300, "tokenizer": "bpe",
               "chat": True, "layers": 2, "width": 32, "heads": 2, "architecture": ARCHITECTURE},
    )  # fmt: skip


@pytest.fixture
def base(team, base_folder):
    return base_version(team, base_folder)


def error(answer, status: int = 400):
    """The error object of a refused request."""
    assert answer.status_code == status, answer.content
    found = answer.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return found


@pytest.fixture
def uploaded(asking):
    """The name of a file that has come and is not imported yet."""
    return asking.upload(lines(sums(20, 1))).json()["id"]


@pytest.fixture
def imported(uploaded, tmp_path):
    finished(TuningFile.objects.get(key=uploaded).version, tmp_path)
    return uploaded


@pytest.fixture
def started(asking, imported, base):
    """A fine-tuning whose training is queued."""
    answer = asking.post(
        "fine_tuning/jobs", {"model": "research/talker", "training_file": imported}
    )
    assert answer.status_code == 200, answer.content
    return answer.json()
