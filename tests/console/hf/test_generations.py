"""Three generations of the stock clients, each in its own processes, against the same console."""

import os

import pytest

from models_app.datasets.models import DatasetVersion
from models_app.registry.models import Model
from tests.clients import HUB_GENERATIONS, client_path
from tests.console.hf.conftest import tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ROWS = b'{"text": "one"}\n{"text": "two"}\n'


OLDEST, MIDDLE, NEWEST = HUB_GENERATIONS
between = pytest.mark.skipif(
    os.environ.get("CHAOS") != "full", reason="between two that are run: make proofs"
)
installed = pytest.mark.skipif(
    os.environ.get("CHAOS") != "full", reason="all other tests of the hub run with it: make proofs"
)


@pytest.fixture(
    params=[OLDEST, pytest.param(MIDDLE, marks=between), pytest.param(NEWEST, marks=installed)]
)
def generation(request, client_of, ben):
    return client_of(ben, path=client_path(request.param))


def test_pulls_and_pushes_models_and_datasets(
    generation, worker, team, model_version, dataset_version, tmp_path
):
    files = tiny_model(tmp_path / "tiny")
    version = model_version(team, files, name="tiny")
    model_version(team, {**files, "extra.txt": b"2"}, name="tiny")
    dataset_version(team, {"train/00000.jsonl": ROWS, "validation/00000.jsonl": ROWS[:16]})
    pulled, pushed, songs = generation.run(
        """
        import json
        from pathlib import Path
        from datasets import Dataset, DatasetDict, load_dataset
        from huggingface_hub import constants, snapshot_download
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = Path(snapshot_download("research/tiny"))
        tokenizer = AutoTokenizer.from_pretrained("research/tiny", revision="v1")
        model = AutoModelForCausalLM.from_pretrained("research/tiny", revision="v1")
        ids = tokenizer("a b c", return_tensors="pt").input_ids
        made = model.generate(ids, max_new_tokens=3, min_new_tokens=3, do_sample=False)
        rows = load_dataset("research/texts", revision="v1")
        pulled = [
            (folder / "extra.txt").read_text(), ids.tolist(), list(made.shape),
            Path(snapshot_download("research/tiny", revision="v1")).name,
            {name: list(part["text"]) for name, part in rows.items()},
        ]

        model.push_to_hub("research/own")
        tokenizer.push_to_hub("research/own")
        again = AutoModelForCausalLM.from_pretrained("research/own", revision="v1")
        ids = AutoTokenizer.from_pretrained("research/own")("a b", return_tensors="pt")
        same = all((a == b).all() for a, b in zip(model.parameters(), again.parameters()))
        pushed = [bool(same), ids.input_ids.tolist()]

        constants.HF_HUB_DISABLE_XET = True
        def songs(*texts):
            return Dataset.from_dict({"text": list(texts), "mood": ["sad"] * len(texts)})
        own = DatasetDict({"train": songs("one", "two"), "validation": songs("three")})
        own.push_to_hub("research/songs")
        again = load_dataset("research/songs", revision="v1")
        found = {name: list(part["text"]) for name, part in again.items()}
        print(json.dumps([pulled, pushed, found]))
        """
    )

    assert pulled == [
        "2", [[1, 2, 3]], [1, 6], version.digest[:40],
        {"train": ["one", "two"], "validation": ["one"]},
    ]  # fmt: skip
    assert pushed == [True, [[1, 2]]]
    (own,) = Model.objects.get(team=team, name="own").versions.all()
    assert own.number == 1
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(own.manifest)
    assert songs == {"train": ["one", "two"], "validation": ["three"]}
    stored = DatasetVersion.objects.get(dataset__team=team, dataset__name="songs")
    assert stored.state == "ready"
    assert all(file["name"].endswith(".parquet") for file in stored.source["files"])
