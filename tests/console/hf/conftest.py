"""A console with models and datasets, and stock clients of the Hub in processes of their own."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from models_app.core.blobs import tree_put
from models_app.core.clock import now
from models_app.core.digests import tree_digest
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.registry.models import Model, ModelVersion
from tests.console.internal.conftest import console_process
from tests.factories.access import ApiTokenFactory
from tests.waiting import WAIT_S
from tests.workers.conftest import WorkerProcess

__all__ = ["console_process"]


@pytest.fixture
def console(console_process, transactional_db, settings):
    """Blobs that the test stores lie on the console's disk."""
    settings.DATA_DIR = console_process.data_dir
    return console_process


@pytest.fixture
def worker(console):
    """A worker that shares the console's disk."""
    process = WorkerProcess(console.data_dir)
    process.start()
    yield process
    process.stop()


@dataclass
class HubClient:
    """Runs Python that uses a stock client; what it prints last is JSON."""

    url: str
    token: str
    home: Path
    path: str = ""

    def run(self, code: str, *arguments: str) -> object:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), *arguments],
            env=self.environment(), capture_output=True, text=True, timeout=WAIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "HF_HOME": str(self.home / "hf"),
            "HF_ENDPOINT": f"{self.url}/hf",
            "HF_TOKEN": self.token,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            **({"PYTHONPATH": self.path} if self.path else {}),
        }


@pytest.fixture
def client_of(console, tmp_path):
    """`client_of(user)`: a client with a token of that person."""

    def make(user, path="", **token):
        secret = ApiTokenFactory(user=user, **token).secret
        home = tmp_path / f"home-{user.pk}"
        home.mkdir(exist_ok=True)
        return HubClient(console.url, secret, home, path)

    return make


@pytest.fixture
def model_version(console, tmp_path):
    """`model_version(team, files)`: a ready version with these files."""

    def make(team, files: dict[str, bytes], *, name="poet", **fields) -> ModelVersion:
        model, _ = Model.objects.get_or_create(team=team, name=name)
        number = model.versions.count() + 1
        manifest = tree_put(laid(tmp_path / f"model-{name}-{number}", files))
        return ModelVersion.objects.create(
            model=model, number=number, manifest=manifest, digest=tree_digest(manifest),
            **{"state": "ready", "ready_at": now(), **fields},
        )  # fmt: skip

    return make


@pytest.fixture
def dataset_version(console, tmp_path):
    """`dataset_version(team, files)`: a ready version of a dataset with these files."""

    def make(team, files: dict[str, bytes], *, name="texts") -> DatasetVersion:
        dataset, _ = Dataset.objects.get_or_create(team=team, name=name)
        number = dataset.versions.count() + 1
        manifest = tree_put(laid(tmp_path / f"data-{name}-{number}", files))
        return DatasetVersion.objects.create(
            dataset=dataset, number=number, state="ready", manifest=manifest,
            digest=tree_digest(manifest),
        )  # fmt: skip

    return make


def laid(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def tiny_model(folder: Path) -> dict[str, bytes]:
    """A random transformer of a few thousand parameters, with its tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    from workers.lm.tokenizers.saved import save_tokenizer

    words = {"[UNK]": 0, **{chr(code): code - 96 for code in range(97, 123)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
    save_tokenizer(fast, folder)
    config = GPT2Config(
        vocab_size=27, n_positions=16, n_embd=8, n_layer=1, n_head=2, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
