"""Three generations of the stock clients, each in its own processes, against the same console."""

import pytest

from tests.clients import HUB_GENERATIONS, client_path
from tests.console.hf.conftest import tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ROWS = b'{"text": "one"}\n{"text": "two"}\n'


@pytest.fixture(params=HUB_GENERATIONS)
def generation(request, client_of, ben):
    return client_of(ben, path=client_path(request.param))


def test_pulls_versions_models_and_datasets(
    generation, team, model_version, dataset_version, tmp_path
):
    files = tiny_model(tmp_path / "tiny")
    version = model_version(team, files, name="tiny")
    model_version(team, {**files, "extra.txt": b"2"}, name="tiny")
    dataset_version(team, {"train/00000.jsonl": ROWS, "validation/00000.jsonl": ROWS[:16]})
    found = generation.run(
        """
        import json
        from pathlib import Path
        from datasets import load_dataset
        from huggingface_hub import snapshot_download
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = Path(snapshot_download("research/tiny"))
        tokenizer = AutoTokenizer.from_pretrained("research/tiny", revision="v1")
        model = AutoModelForCausalLM.from_pretrained("research/tiny", revision="v1")
        ids = tokenizer("a b c", return_tensors="pt").input_ids
        made = model.generate(ids, max_new_tokens=3, do_sample=False)
        rows = load_dataset("research/texts", revision="v1")
        print(json.dumps([
            (folder / "extra.txt").read_text(), ids.tolist(), list(made.shape),
            Path(snapshot_download("research/tiny", revision="v1")).name,
            {name: list(part["text"]) for name, part in rows.items()},
        ]))
        """
    )

    assert found == [
        "2", [[1, 2, 3]], [1, 6], version.digest[:40],
        {"train": ["one", "two"], "validation": ["one"]},
    ]  # fmt: skip
