"""Adapters: what is trained, what is written, and that peft reads it as its own."""

import json
import shutil

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel

from tests.workers.lm.recording import Recorder
from tests.workers.lm.training.conversations import adapter_spec, answering_spec, run_on, sums
from workers.lm.compute.memory import count_adapter, estimate
from workers.lm.durable import file_digest
from workers.lm.errors import InvalidTraining, Stopped
from workers.lm.families.lora import adapter_facts
from workers.lm.families.transformer import load_model
from workers.lm.formats.merged import load_version
from workers.lm.inference.loading import load
from workers.scanning.adapter import base_of
from workers.scanning.report import Report
from workers.scanning.scan import scan_folder

pytestmark = pytest.mark.nodb

NAME = {"model": "crew/base", "revision": "v1"}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    root = tmp_path_factory.mktemp("base")
    run_on(root, Recorder(), answering_spec(steps=60, dropout=0.0))
    return root / "out"


@pytest.fixture(scope="module")
def adapted(base, tmp_path_factory):
    root, events = tmp_path_factory.mktemp("adapter"), Recorder()
    before = file_digest(base / "model.safetensors")
    result = run_on(root, events, adapter_spec(), base_dir=base, base_name=NAME)
    assert file_digest(base / "model.safetensors") == before
    return root, result, events


def laid_out(adapter, base, folder):
    """An adapter with its base below it, as jobs lay it out."""
    shutil.copytree(adapter, folder)
    shutil.copytree(base, folder / "base")
    return folder


IDS = torch.tensor([[5, 17, 33, 41, 8]])


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def test_it_is_an_adapter_of_peft_that_names_its_base_and_no_folder(adapted, base):
    root, result, events = adapted
    out = root / "out"

    config = json.loads((out / "adapter_config.json").read_text())

    assert (config["base_model_name_or_path"], config["revision"]) == ("crew/base", "v1")
    for path in out.iterdir():
        assert str(base).encode() not in path.read_bytes(), path.name
    assert {"README.md", "tokenizer.json", "chat_template.jinja"} <= set(result.files)
    stock = PeftModel.from_pretrained(load_model(base), str(out))
    assert not torch.equal(logits(stock), logits(load_model(base)))
    losses = events.series("validation_loss")
    assert losses[20] < losses[0]


def test_only_the_adapter_is_trained_kept_and_counted(adapted, base):
    root, result, _ = adapted
    facts = adapter_facts(root / "out")
    shape = json.loads((base / "config.json").read_text())

    names = {path.name for path in (root / "checkpoints" / "step-000020.a1").iterdir()}

    assert result.parameters == facts["parameters"] == count_adapter(shape, 4)
    assert facts["rank"] == 4 and facts["target_modules"] == ["c_attn", "c_fc", "c_proj"]
    assert "model.safetensors" not in names and "adapter_model.safetensors" in names
    whole, small = (estimate(shape, 8, 48, trained=count) for count in (None, 1000))
    assert small.optimizer == 8000 and small.gradients == 4000
    assert small.weights == whole.weights + 4000


def test_import_takes_it_as_it_is(adapted, base, tmp_path):
    root, _, _ = adapted

    report = Report()

    facts = scan_folder(root / "out", report, base=base_of("base v1", base, "gpt2"))

    assert report.verdict != "blocked", report.to_dict()
    assert facts["family"] == "adapter"


@pytest.mark.parametrize("questions", [9, 18])
def test_stopped_it_goes_on_bit_for_bit(adapted, base, tmp_path, questions):
    _, whole, events = adapted
    with pytest.raises(Stopped):
        run_on(tmp_path, Recorder(stop_after=questions), adapter_spec(), base_dir=base,
               base_name=NAME)  # fmt: skip

    again = Recorder()
    result = run_on(
        tmp_path, again, adapter_spec(), base_dir=base, base_name=NAME,
        resume_from=tmp_path / "checkpoints", attempt=2,
    )  # fmt: skip

    assert min(again.series("loss")) > 1
    assert again.series("loss").items() <= events.series("loss").items()
    assert result.files == whole.files


def test_a_checkpoint_of_another_adapter_is_refused(adapted, base, tmp_path):
    root, _, _ = adapted
    shutil.copytree(root / "checkpoints", tmp_path / "checkpoints")

    with pytest.raises(InvalidTraining, match="lora_rank was 4, now 2"):
        run_on(tmp_path, Recorder(), adapter_spec(lora_rank=2), base_dir=base,
               resume_from=tmp_path / "checkpoints", attempt=2)  # fmt: skip


def test_named_layers_are_the_only_ones(base, tmp_path):
    run_on(tmp_path, Recorder(), adapter_spec(lora_targets="c_attn", steps=3), base_dir=base)

    assert adapter_facts(tmp_path / "out")["target_modules"] == ["c_attn"]


def test_layers_that_the_base_does_not_have_are_refused(base, tmp_path):
    with pytest.raises(InvalidTraining, match=r"no layer q_proj.*c_attn, c_fc, c_proj") as refused:
        run_on(tmp_path, Recorder(), adapter_spec(lora_targets="q_proj"), base_dir=base)

    assert refused.value.field == "lora_targets"


def test_served_it_answers_as_peft_does(adapted, base, tmp_path):
    root, _, _ = adapted
    folder = laid_out(root / "out", base, tmp_path / "served")

    served, merged = load(folder), load_version(folder)

    stock = PeftModel.from_pretrained(load_model(base), str(root / "out"))
    assert torch.allclose(logits(served.model), logits(stock), atol=2e-5)
    assert torch.equal(logits(served.model), logits(merged))
    assert served.tokenizer.chat_template


def test_stock_loading_by_name_works_where_the_base_is_found(adapted, base, tmp_path):
    root, _, _ = adapted
    shutil.copytree(root / "out", tmp_path / "own")
    path = tmp_path / "own" / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "base_model_name_or_path": str(base), "revision": None}))

    stock = AutoPeftModelForCausalLM.from_pretrained(str(tmp_path / "own"))

    assert sums(1, 1) and logits(stock).shape[-1] == logits(load_model(base)).shape[-1]
