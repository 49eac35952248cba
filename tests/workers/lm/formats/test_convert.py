"""Every format is written, opened by its own library, and close to its source, or refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.workers.lm.formats.conftest import make
from tests.workers.lm.recording import Recorder, write_documents
from workers.lm.durable import file_digest
from workers.lm.errors import InvalidWork, Stopped, UnusableModel
from workers.lm.evaluation.perplexity import evaluate
from workers.lm.families.transformer import load_model
from workers.lm.formats import FORMATS
from workers.lm.formats.convert import Work, convert
from workers.lm.inference.loading import load
from workers.lm.inference.probe import choose_runner

pytestmark = pytest.mark.nodb
CASES = [
    (shape, row.name, precision.name)
    for shape in ("gpt2", "llama")
    for row in FORMATS.values()
    for precision in row.precisions
    # Tracing a graph takes seconds: ONNX has a test of its own, `make formats` writes them all.
    if row.takes == "transformer" and row.name not in ("onnx", "openvino")
]  # fmt: skip


def run(source, out, format, precision="", recorder=None, **options):
    chosen = FORMATS[format].precision(precision)
    options.setdefault("limits", vars(chosen.gate))
    work = Work(format=format, precision=precision, source=source, out=out, **options)
    return convert(work, recorder or Recorder())


@pytest.fixture
def damaged(models, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(models["llama"], tmp_path / "damaged")


@pytest.mark.parametrize(("shape", "format", "precision"), CASES)
def test_stays_within_its_gate(models, tmp_path, shape, format, precision):
    report = run(models[shape], tmp_path / "out", format, precision)

    assert report["passed"], report["checks"]
    assert report["greedy"]["agreement"] > 0.95
    assert (
        0
        < report["size"]["output"]
        == sum(
            path.stat().st_size
            for path in (tmp_path / "out").iterdir()
            if path.name.endswith(FORMATS[format].suffixes)
        )
    )
    assert (tmp_path / "out" / "tokenizer.json").is_file()
    assert report["logits"]["max_error"] < 0.02


def test_eight_bits_take_a_third_and_change_perplexity_little(models, tmp_path):
    report = run(models["llama"], tmp_path / "out", "int8")

    assert report["size"]["ratio_fp32"] <= 0.35
    assert report["logits"]["max_error"] > 0
    assert abs(report["perplexity"]["increase"]) < 0.01


@pytest.mark.parametrize("shape", ["gpt2", "llama"])
def test_eight_bits_are_evaluated_and_served(models, tmp_path, shape):
    out = tmp_path / "out"
    run(models[shape], out, "int8")
    file = write_documents(tmp_path / "a.jsonl", ["the ship sails over a calm sea"] * 3)
    scores = [
        evaluate(folder, [file], tmp_path / name, Recorder(), 1).perplexity
        for name, folder in (("one", models[shape]), ("two", out))
    ]
    loaded = load(out)
    runner, why = choose_runner(loaded.model, context_length=48, max_slots=2, prefill_chunk=16)

    assert scores[0] == pytest.approx(scores[1], rel=0.01)
    assert runner.mode == "packed", why
    assert loaded.parameters == load(models[shape]).parameters


def test_an_eight_bit_layer_answers_each_row_by_itself(models, tmp_path):
    run(models["llama"], tmp_path / "out", "int8")
    model = load_model(tmp_path / "out")
    ids = torch.randint(0, 30, (4, 9), generator=torch.Generator().manual_seed(1))

    alone = torch.cat([model(input_ids=row[None]).logits for row in ids])

    assert torch.allclose(model(input_ids=ids).logits, alone, atol=1e-5)


def test_a_merged_adapter_answers_as_base_and_adapter_do(adapter, models, tmp_path):
    report = run(adapter, tmp_path / "out", "merged")
    base, merged = load_model(models["llama"]), load_model(tmp_path / "out")
    ids = torch.randint(0, 30, (2, 20))

    assert report["logits"]["max_error"] < 1e-5
    assert (base(input_ids=ids).logits - merged(input_ids=ids).logits).abs().max() > 0.01


def test_gguf_describes_model_and_tokenizer(models, tmp_path):
    import gguf

    run(models["llama"], tmp_path / "out", "gguf", "f16")
    reader = gguf.GGUFReader(tmp_path / "out" / "model.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    vocabulary = json.loads((models["llama"] / "tokenizer.json").read_text())["model"]["vocab"]

    assert fields["general.architecture"] == "llama"
    assert fields["llama.attention.head_count_kv"] == 1
    assert fields["tokenizer.ggml.tokens"][vocabulary["a"]] == "a"
    assert fields["tokenizer.ggml.tokens"][vocabulary[" "]] == "Ġ"
    assert "Ã ©" in fields["tokenizer.ggml.merges"]
    assert fields["tokenizer.ggml.token_type"][vocabulary["<|endoftext|>"]] == 3
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert kinds["blk.0.attn_q.weight"] == "F16"
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    assert "output.weight" not in kinds


def test_onnx_takes_any_batch_and_length(models, tmp_path):
    report = run(models["llama"], tmp_path / "out", "onnx")
    reader, model = FORMATS["onnx"].open(tmp_path / "out", 1), load_model(models["llama"])
    assert report["passed"], report["checks"]
    assert report["engine"]["output"].startswith("onnxruntime")
    for shape in ((1, 1), (3, 17), (2, 48)):
        ids = torch.randint(0, 30, shape)

        assert torch.allclose(reader.logits(ids), model(input_ids=ids).logits, atol=1e-5)


def test_measures_on_the_documents_that_it_is_given(models, tmp_path):
    file = write_documents(tmp_path / "a.jsonl", ["the ship sails"] * 5)

    report = run(
        models["gpt2"], tmp_path / "out", "safetensors", documents=[file], most_documents=3
    )

    assert report["measured_on"]["kind"] == "dataset"
    assert report["tokens"] == 3 * len("the ship sails")


def test_a_limit_that_is_not_kept_fails_the_report(models, tmp_path):
    report = run(models["llama"], tmp_path / "out", "int8", limits={"max_logit_error": 0.0})

    assert not report["passed"]
    assert [c["measure"] for c in report["checks"] if not c["passed"]] == ["max_logit_error"]


class TestRefusals:
    def test_names_a_stored_file_that_has_changed(self, damaged, tmp_path):
        digest = file_digest(damaged / "model.safetensors")
        with (damaged / "model.safetensors").open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\x55")

        with pytest.raises(UnusableModel, match=r"model\.safetensors of the source is damaged"):
            run(damaged, tmp_path / "out", "int8", digests={"model.safetensors": digest})

    @pytest.mark.parametrize("format", ["safetensors", "int8", "gguf"])
    def test_names_weights_that_are_not_whole(self, damaged, tmp_path, format):
        path = damaged / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])

        with pytest.raises(UnusableModel, match="not whole"):
            run(damaged, tmp_path / "out", format)
        assert not (tmp_path / "out").exists()

    def test_names_a_type_of_numbers_that_is_not_converted(self, damaged, tmp_path):
        tensors = load_file(damaged / "model.safetensors")
        tensors["model.norm.weight"] = torch.ones(32, dtype=torch.int64)
        save_file(tensors, damaged / "model.safetensors")

        with pytest.raises(InvalidWork, match=r"model\.norm\.weight is of type I64"):
            run(damaged, tmp_path / "out", "safetensors")

    def test_names_numbers_that_are_not_finite(self, damaged, tmp_path):
        tensors = load_file(damaged / "model.safetensors")
        tensors["model.norm.weight"][3] = float("nan")
        save_file(tensors, damaged / "model.safetensors")

        with pytest.raises(UnusableModel, match="not all finite"):
            run(damaged, tmp_path / "out", "safetensors")

    def test_names_numbers_too_large_for_half_precision(self, damaged, tmp_path):
        tensors = load_file(damaged / "model.safetensors")
        tensors["model.norm.weight"][3] = 1e6
        save_file(tensors, damaged / "model.safetensors")

        with pytest.raises(InvalidWork, match=r"too large for fp16\. Use bf16"):
            run(damaged, tmp_path / "out", "safetensors", "fp16")

    def test_names_a_tokenizer_that_does_not_fit(self, damaged, tmp_path):
        config = json.loads((damaged / "config.json").read_text())
        (damaged / "config.json").write_text(json.dumps({**config, "vocab_size": 20}))

        with pytest.raises(UnusableModel, match="do not belong together"):
            run(damaged, tmp_path / "out", "gguf")

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"model_type": "gpt_neox"}, "GGUF is written for gpt2, llama, mistral"),
            ({"hidden_act": "gelu"}, "only the activation silu"),
            ({"rope_parameters": {"rope_type": "yarn"}}, "Scaled rotary"),
            ({"sliding_window": 8}, "ignores the sliding window"),
        ],
    )
    def test_names_what_llama_cpp_would_compute_otherwise(self, damaged, tmp_path, changes, text):
        config = json.loads((damaged / "config.json").read_text())
        (damaged / "config.json").write_text(json.dumps({**config, **changes}))

        with pytest.raises(InvalidWork, match=text):
            run(damaged, tmp_path / "out", "gguf")

    def test_names_the_extra_that_is_missing(self, models, tmp_path, monkeypatch):
        monkeypatch.setattr("workers.lm.formats.base.has_package", lambda name: False)

        with pytest.raises(InvalidWork, match=r"pip install -r requirements/formats\.txt"):
            run(models["llama"], tmp_path / "out", "onnx")

    def test_names_an_adapter_that_does_not_fit(self, adapter, tmp_path):
        source = shutil.copytree(adapter, tmp_path / "source")
        shutil.rmtree(source / "base")
        make(source / "base", "llama", hidden_size=64)

        with pytest.raises(UnusableModel, match="does not fit its base"):
            run(source, tmp_path / "out", "merged")

    def test_takes_no_adapter_that_lacks_its_weights(self, adapter, tmp_path):
        source = shutil.copytree(adapter, tmp_path / "source")
        (source / "adapter_model.safetensors").unlink()

        with pytest.raises(UnusableModel, match="one of them is missing"):
            run(source, tmp_path / "out", "merged")

    def test_stops_when_asked_and_leaves_nothing(self, models, tmp_path):
        with pytest.raises(Stopped):
            run(models["llama"], tmp_path / "out", "safetensors", recorder=Recorder(stop_after=3))

        assert list(tmp_path.iterdir()) == []

    def test_begins_anew_over_what_a_killed_attempt_left(self, models, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "half.safetensors").write_bytes(b"x")

        run(models["llama"], tmp_path / "out", "safetensors")

        assert not (tmp_path / "out" / "half.safetensors").exists()


def test_large_models_are_cut_into_shards(models, tmp_path, monkeypatch):
    monkeypatch.setattr("workers.lm.formats.plain.SHARD_BYTES", 20_000)

    report = run(models["llama"], tmp_path / "out", "safetensors", "fp32")

    assert (tmp_path / "out" / "model.safetensors.index.json").is_file()
    assert report["logits"]["max_error"] == 0
