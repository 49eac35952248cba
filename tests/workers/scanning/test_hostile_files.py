"""Files made to do harm, each in a folder that is a good model otherwise: found, and named."""

import io
import json
import pickle
import shutil
import unicodedata
import zipfile

import numpy
import pytest

from tests.factories.imports import (
    adapter_folder,
    change_json,
    model_folder,
    read_tensors,
    safetensors_bytes,
)
from workers.scanning.adapter import base_of
from workers.scanning.limits import Limits
from workers.scanning.names import Gate
from workers.scanning.pickles import pickle_of
from workers.scanning.report import Report
from workers.scanning.scan import scan_folder

pytestmark = pytest.mark.nodb


@pytest.fixture
def good(tmp_path):
    return model_folder(tmp_path / "model")


def scan(folder, base=None):
    report = Report()
    facts = scan_folder(folder, report, base=base)
    return report, facts


def blocked(folder, rule, *words, file=None, base=None):
    """The scan blocks it by this rule, and its words stand in what is said."""
    report, _facts = scan(folder, base)
    found = [f for f in report.to_dict()["findings"] if f["rule"] == rule]
    assert found, report.to_dict()["findings"]
    said = " ".join(f["what"] for f in found)
    assert all(word in said for word in words), said
    assert found[0]["severity"] == "blocked" and found[0]["remedy"]
    assert file is None or file in {f["file"] for f in found}
    assert report.verdict == "blocked"


class Evil:
    def __reduce__(self):
        return __import__("os").system, ("touch /tmp/pwned",)


class Spawn:
    """What lists of dangerous names have missed."""

    def __reduce__(self):
        import multiprocessing.util

        return multiprocessing.util.spawnv_passfds, (b"/bin/true", [b"true"], [])


def torch_zip(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", b"\0" * 64)
    return out.getvalue()


def numpy_objects() -> bytes:
    out = io.BytesIO()
    numpy.save(out, numpy.array([Evil()], dtype=object), allow_pickle=True)
    return out.getvalue()


def flagged_zip() -> bytes:
    """Says that it is encrypted, which some readers take for a reason to look away."""
    data = bytearray(torch_zip(pickle.dumps(Evil())))
    at = data.find(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


PICKLES = {
    "plain": (pickle.dumps(Evil()), "system"),
    "oldest protocol": (pickle.dumps(Evil(), protocol=0), "system"),
    "cut short": (pickle.dumps(Evil())[:-3], "system"),
    "memoised": (pickle.dumps([Evil(), Evil()], protocol=4), "system"),
    "of torch": (torch_zip(pickle.dumps(Evil())), "archive/data.pkl"),
    "a zip without its end": (torch_zip(pickle.dumps(Evil()))[:-60], "system"),
    "unknown to lists": (pickle.dumps(Spawn()), "spawnv_passfds"),
    "objects of numpy": (numpy_objects(), "system"),
    "without any global": (pickle.dumps({"a": 1}), "no code"),
}


class TestPickles:
    @pytest.mark.parametrize("sort", PICKLES)
    @pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "tokenizer.model"])
    def test_is_found_under_any_name_with_what_it_runs(self, good, sort, name):
        data, word = PICKLES[sort]
        (good / name).write_bytes(data)

        blocked(good, "code.pickle", word, file=name)

    def test_behind_a_flag_that_says_encrypted_is_refused(self, good):
        (good / "pytorch_model.bin").write_bytes(flagged_zip())

        report, _ = scan(good)

        assert report.blocked

    @pytest.mark.parametrize("name", ["README.md", "merges.txt", "config.json"])
    def test_hidden_in_a_text_file_is_found(self, good, name):
        (good / name).write_bytes(pickle.dumps(Evil(), protocol=0))

        blocked(good, "code.pickle", "GLOBAL", "system", file=name)

    @pytest.mark.parametrize(
        "text",
        [b"copyright 2020\n\n(c) somebody\nall rights reserved.", b"# A model", b"(see below.)",
         b"I like\nthis.", b"c\nd\n.", b"N."],
    )  # fmt: skip
    def test_is_not_seen_in_ordinary_text(self, text):
        assert pickle_of(text) is None

    def test_a_header_of_640_bytes_is_no_pickle(self, good):
        tensors = read_tensors(good / "model.safetensors")
        data = safetensors_bytes(tensors)
        size = int.from_bytes(data[:8], "little")
        pad = (-size + 0x280) % 0x8000 + size
        (good / "model.safetensors").write_bytes(
            pad.to_bytes(8, "little") + data[8 : 8 + size] + b" " * (pad - size) + data[8 + size :]
        )

        report, facts = scan(good)

        assert not report.blocked and facts["layers"] == 2


class TestCode:
    @pytest.mark.parametrize("name", ["modeling_evil.py", "setup.sh", "lib.so", "x.pth", "a.ipynb"])
    def test_programs_are_refused(self, good, name):
        (good / name).write_text("print(1)")

        blocked(good, "code.program", file=name)

    def test_a_script_under_another_name_is_refused(self, good):
        (good / "README.md").write_text("#!/bin/sh\nrm -rf /")

        blocked(good, "code.program", "script")

    @pytest.mark.parametrize(
        ("name", "entry"),
        [
            ("config.json", {"auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil"}}),
            ("config.json", {"text_config": {"auto_map": {"AutoModel": "org/repo--x.Y"}}}),
            ("config.json", {"trust_remote_code": True}),
            ("config.json", {"custom_pipelines": {"x": {"impl": "evil.Pipe"}}}),
            ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["a.B", None]}}),
        ],
    )
    def test_remote_code_is_refused_by_its_entry(self, good, name, entry):
        change_json(good / name, **entry)

        word = "auto_map" if "auto_map" in json.dumps(entry) else next(iter(entry))
        blocked(good, "code.remote", word, file=name)

    @pytest.mark.parametrize(
        "entry",
        [
            {"_attn_implementation_internal": "org/kernel"},
            {"attn_implementation": "org/kernel"},
            {"quantization_config": {"quant_method": "evil"}},
        ],
    )
    def test_settings_that_choose_code_are_refused(self, good, entry):
        change_json(good / "config.json", **entry)

        blocked(good, "code.setting", next(iter(entry)))


def cut(data, header=None):
    return data if header is None else len(header).to_bytes(8, "little") + header


ONE = {"w": numpy.zeros((2, 2), "float32")}
WEIGHTS = {
    "empty": (b"", "weights.header"),
    "seven bytes": (b"\1" * 7, "weights.header"),
    "a header of 2^63 bytes": ((1 << 63).to_bytes(8, "little") + b"{}", "weights.header"),
    "a header behind the end": ((999).to_bytes(8, "little") + b"{}", "weights.header"),
    "a header that is no JSON": (cut(b"", b"{nonsense"), "weights.header"),
    "a header that is a list": (cut(b"", b"[1]"), "weights.header"),
    "a header nested too deep": (cut(b"", b"[" * 50_000), "weights.header"),
    "a name twice": (
        cut(b"", b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'
                 b'"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
        "weights.header",
    ),
    "metadata of numbers": (safetensors_bytes(ONE, __metadata__={"a": 1}), "weights.header"),
    "one byte too few": (safetensors_bytes(ONE)[:-1], "weights.layout"),
    "one byte too many": (safetensors_bytes(ONE) + b"x", "weights.layout"),
    "an unknown type": (
        safetensors_bytes({}, a={"dtype": "F99", "shape": [0], "data_offsets": [0, 0]}),
        "weights.type",
    ),
    "a huge shape": (
        safetensors_bytes({}, a={"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}),
        "weights.layout",
    ),
    "a negative shape": (
        safetensors_bytes({}, a={"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}),
        "weights.header",
    ),
    "an overlap": (
        safetensors_bytes(ONE, z={"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}),
        "weights.layout",
    ),
    "a gap": (
        safetensors_bytes({}, a={"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}) + b"\0" * 8,
        "weights.layout",
    ),
    "a pointer of Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "text.pointer",
    ),
}  # fmt: skip


class TestWeights:
    @pytest.mark.parametrize("sort", WEIGHTS)
    def test_a_damaged_file_is_told_by_its_header(self, good, sort):
        data, rule = WEIGHTS[sort]
        (good / "model.safetensors").write_bytes(data)

        blocked(good, rule, file="model.safetensors")

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    @pytest.mark.parametrize("kind", ["float32", "float16"])
    def test_numbers_that_are_not_finite_are_found(self, good, kind, value):
        tensors = read_tensors(good / "model.safetensors")
        name = sorted(tensors)[3]
        tensors[name] = tensors[name].astype(kind)
        tensors[name].flat[-1] = value
        (good / "model.safetensors").write_bytes(safetensors_bytes(tensors))

        blocked(good, "weights.finite", name)

    @pytest.mark.parametrize(
        ("change", "rule", "word"),
        [
            (lambda t: t.pop("model.norm.weight"), "weights.fit", "missing"),
            (lambda t: t.update(stranger=numpy.zeros(1, "float32")), "weights.fit", "stranger"),
            (
                lambda t: t.update({"model.norm.weight": numpy.zeros(31, "float32")}),
                "weights.fit",
                "[31]",
            ),
            (
                lambda t: t.update({"model.norm.weight": numpy.zeros(32, "int64")}),
                "weights.type",
                "I64",
            ),
        ],
    )
    def test_weights_that_do_not_fit_are_named(self, good, change, rule, word):
        tensors = read_tensors(good / "model.safetensors")
        change(tensors)
        (good / "model.safetensors").write_bytes(safetensors_bytes(tensors))

        blocked(good, rule, word)

    def test_tied_weights_that_differ_are_a_warning(self, good):
        tensors = read_tensors(good / "model.safetensors")
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] + 1
        (good / "model.safetensors").write_bytes(safetensors_bytes(tensors))

        report, facts = scan(good)

        assert report.verdict == "warnings" and facts
        assert [f.rule for f in report.findings] == ["weights.tied"]

    def test_an_untied_model_needs_its_head(self, good):
        change_json(good / "config.json", tie_word_embeddings=False)

        blocked(good, "weights.fit", "lm_head.weight is missing")

    def test_names_without_the_prefix_are_understood(self, tmp_path):
        folder = model_folder(tmp_path / "gpt2", kind="gpt2")
        tensors = read_tensors(folder / "model.safetensors")
        plain = {name.removeprefix("transformer."): value for name, value in tensors.items()}
        plain["h.0.attn.bias"] = numpy.ones((1, 1, 64, 64), "int8")
        (folder / "model.safetensors").write_bytes(safetensors_bytes(plain))

        report, facts = scan(folder)

        assert not report.blocked, report.to_dict()
        assert facts["parameters"] == sum(value.size for value in tensors.values())


def sharded(folder):
    tensors = read_tensors(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    halves = {"model-00001-of-00002.safetensors": names[:5],
              "model-00002-of-00002.safetensors": names[5:]}  # fmt: skip
    for file, part in halves.items():
        (folder / file).write_bytes(safetensors_bytes({name: tensors[name] for name in part}))
    table = {name: file for file, part in halves.items() for name in part}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": table}))
    return index, table


class TestIndex:
    def test_shards_that_fit_pass(self, good):
        sharded(good)

        report, facts = scan(good)

        assert not report.blocked and facts["layers"] == 2

    @pytest.mark.parametrize(
        ("place", "word"),
        [
            ("gone.safetensors", "is missing"),
            ("../../other/model.safetensors", "leads elsewhere"),
            ("/etc/passwd", "leads elsewhere"),
            ("model-00001-of-00002.safetensors", "is not in the file"),
        ],
    )
    def test_an_index_that_names_something_else_is_refused(self, good, place, word):
        index, table = sharded(good)
        table[sorted(table)[-1]] = place
        index.write_text(json.dumps({"weight_map": table}))

        blocked(good, "weights.index", word)

    def test_a_corrupt_shard_is_named(self, good):
        sharded(good)
        path = good / "model-00002-of-00002.safetensors"
        path.write_bytes(path.read_bytes()[:-100])

        blocked(good, "weights.layout", "cut short", file=path.name)

    def test_a_file_that_no_index_names_is_refused(self, good):
        shutil.copy(good / "model.safetensors", good / "extra.safetensors")

        blocked(good, "weights.index", "No index", file="extra.safetensors")


class TestConfiguration:
    @pytest.mark.parametrize(
        ("changes", "rule"),
        [
            ({"model_type": "evil"}, "model.type"),
            ({"model_type": None}, "model.type"),
            ({"num_hidden_layers": 10**6}, "model.config"),
            ({"vocab_size": 10**12}, "model.config"),
            ({"vocab_size": -1}, "model.config"),
            ({"hidden_size": "32"}, "model.config"),
            ({"num_hidden_layers": [2]}, "model.config"),
            ({"hidden_act": "no_such_function"}, "model.config"),
        ],
    )
    def test_impossible_values_are_refused_at_once(self, good, changes, rule):
        change_json(good / "config.json", **changes)

        blocked(good, rule)

    @pytest.mark.parametrize("data", [b"[1]", b"null", b"{", b"<html></html>", b"[" * 100_000,
                                      b"\xff\xfe{}", b'{"a": 1}\0'])  # fmt: skip
    def test_what_is_no_json_object_is_refused(self, good, data):
        (good / "config.json").write_bytes(data)

        report, facts = scan(good)

        assert report.blocked and not facts

    def test_generation_settings_that_differ_are_noted(self, good):
        change_json(good / "generation_config.json", eos_token_id=7)

        report, _ = scan(good)

        assert report.verdict == "passed"
        assert "model.generation" in {f.rule for f in report.findings}


class TestTokenizer:
    def test_more_ids_than_rows_do_not_fit(self, good):
        values = json.loads((good / "tokenizer.json").read_text())
        extra = {**values["added_tokens"][0], "id": 5000, "content": "<extra>"}
        values["added_tokens"].append(extra)
        (good / "tokenizer.json").write_text(json.dumps(values))

        blocked(good, "model.vocabulary")

    def test_a_model_without_tokenizer_is_refused_with_the_way_to_make_one(self, good):
        (good / "tokenizer.json").unlink()

        blocked(good, "model.tokenizer")

    @pytest.mark.parametrize("text", ["{}", "[]", '{"model": 1}'])
    def test_what_is_no_tokenizer_is_refused(self, good, text):
        (good / "tokenizer.json").write_text(text)

        blocked(good, "model.tokenizer")

    @pytest.mark.parametrize(
        ("template", "rule"),
        [("x" * 70_000, "model.template"), ("{% for x in %}", "model.template"),
         ("{{ lipsum.__globals__['os'] }}", "model.template_reach"),
         ("{{ messages['__class__'] }}", "model.template_reach")],
    )  # fmt: skip
    @pytest.mark.parametrize("inside", [True, False])
    def test_templates_are_looked_at_wherever_they_stand(self, good, template, rule, inside):
        if inside:
            change_json(good / "tokenizer_config.json", chat_template=template)
        else:
            (good / "chat_template.jinja").write_text(template)

        report, _ = scan(good)

        assert rule in {f.rule for f in report.findings}

    def test_an_ordinary_template_passes(self, good):
        (good / "chat_template.jinja").write_text(
            "{% for m in messages %}{{ m.role }}: {{ m['content'] | trim }}{% endfor %}"
        )

        report, facts = scan(good)

        assert report.verdict == "passed" and facts["chat"]

    def test_pieces_must_be_pieces(self, good):
        (good / "tokenizer.model").write_bytes(b"\x0a\x05\x0a\x03abc\x0a\x02\x0a\x00")
        assert not scan(good)[0].blocked

        (good / "tokenizer.model").write_bytes(b"\x0a\xff\x7fshort")
        blocked(good, "files.unknown", "SentencePiece")


class TestText:
    @pytest.mark.parametrize(
        ("name", "data", "rule"),
        [
            ("README.md", b"\xff\xfenot utf-8", "text.encoding"),
            ("LICENSE", b"a\0b", "text.encoding"),
            ("NOTICE", b"x" * (17 << 20), "text.large"),
            ("README.md", b"<!DOCTYPE html><html>", "files.unknown"),
            ("vocab.txt", b"version https://git-lfs.github.com/spec/v1\n", "text.pointer"),
            ("notes.txt", b"\x1f\x8b\x08", "files.nested"),
            ("model.gguf", b"GGUF\0\0\0\0", "files.unknown"),
            ("a.zip", b"PK\x05\x06" + b"\0" * 18, "files.nested"),
            ("tf_model.h5", b"\x89HDF\r\n\x1a\n", "files.unknown"),
        ],
    )
    def test_is_taken_only_as_plain_text(self, good, name, data, rule):
        (good / name).write_bytes(data)

        blocked(good, rule, file=name)

    @pytest.mark.parametrize(
        "line",
        ["token = ghp_" + "a1B2" * 9, "key: AKIA" + "ABCD2345" * 2, "hf_" + "x1Y2z" * 6,
         "-----BEGIN RSA PRIVATE KEY-----", "postgres://me:hunter2@db.example.com/x"],
    )  # fmt: skip
    def test_secrets_are_a_warning_that_does_not_repeat_them(self, good, line):
        (good / "README.md").write_text(f"# Title\n\n{line}\n")

        report, facts = scan(good)

        assert report.verdict == "warnings" and facts
        (found,) = report.findings
        assert found.rule == "text.secret" and "Line 3" in found.what
        assert line not in json.dumps(report.to_dict())


class TestNames:
    def gate(self, **limits):
        return Gate(Report(), Limits(**limits), ("*.bin",))

    @pytest.mark.parametrize(
        "name",
        ["../../etc/passwd", "a/../../b.json", "/etc/passwd", "C:\\x.json", "c:x.json", "a\\b.json",
         "a\0b.json", "a\nb.json", "", "x" * 300, "a//b.json", "./x.json", "a/./b.json",
         "\u202egnp.json", "\ud800.json", "y" * 130 + ".json"],
    )  # fmt: skip
    def test_names_that_cannot_be_kept_are_refused(self, name):
        gate = self.gate()

        assert not gate.admit(name)
        assert [f.rule for f in gate.report.findings] == ["files.path"]

    def test_one_name_in_two_normal_forms_is_a_collision(self):
        gate = self.gate()
        assert gate.admit(unicodedata.normalize("NFC", "é.json"))

        assert not gate.admit(unicodedata.normalize("NFD", "é.json"))
        assert gate.report.findings[-1].rule == "files.twice"

    @pytest.mark.parametrize("other", ["config.json", "CONFIG.json", "Config.JSON"])
    def test_names_that_differ_only_in_case_are_a_collision(self, other):
        gate = self.gate()
        gate.admit("config.json")

        assert not gate.admit(other)
        assert gate.report.verdict == "blocked"

    @pytest.mark.parametrize("kind", ["link", "block device", "pipe", "sparse file"])
    def test_only_plain_files_come_in(self, kind):
        assert not (gate := self.gate()).admit("config.json", kind)
        assert gate.report.blocked

    def test_ten_thousand_files_are_too_many_and_told_once(self):
        gate = self.gate(files=100)

        assert sum(gate.admit(f"{n}.json") for n in range(10_000)) == 100
        assert [f.rule for f in gate.report.findings] == ["files.many"]

    def test_a_hundred_folders_are_too_deep(self):
        gate = self.gate()

        assert not gate.admit("d/" * 100 + "x.json")
        assert gate.report.blocked

    def test_what_is_left_out_is_noted_and_litter_is_not(self):
        gate = self.gate()

        assert not gate.admit("pytorch_model.bin")
        assert not gate.admit(".gitattributes")
        assert not gate.admit(".cache/huggingface/x.metadata")
        assert [f.rule for f in gate.report.findings] == ["files.left_out"]
        assert gate.report.verdict == "passed"


class TestAdapters:
    @pytest.fixture
    def base(self, good):
        return base_of("base v1", good, "llama")

    def test_fits_the_base_that_it_was_made_for(self, base, tmp_path):
        report, facts = scan(adapter_folder(tmp_path / "lora", rank=4), base)

        assert report.verdict == "passed", report.to_dict()
        assert facts["family"] == "adapter" and facts["rank"] == 4
        assert facts["target_modules"] == ["q_proj", "v_proj"]

    def test_without_a_base_is_refused_with_the_remedy(self, tmp_path):
        folder = adapter_folder(tmp_path / "lora", base="meta/llama")

        blocked(folder, "adapter.base", "meta/llama")

    @pytest.mark.parametrize(
        ("options", "rule", "word"),
        [
            ({"width": 48}, "adapter.fit", "48"),
            ({"layers": 3}, "adapter.fit", "layers.2"),
            ({"r": 8}, "adapter.fit", "says 8"),
            ({"r": 0}, "adapter.config", "rank"),
            ({"peft_type": "IA3"}, "adapter.config", "IA3"),
            ({"use_dora": True}, "adapter.config", "use_dora"),
            ({"lora_alpha": float("nan")}, "adapter.config", "lora_alpha"),
            ({"auto_mapping": {"parent_library": "evil"}}, "code.remote", "auto_mapping"),
        ],
    )
    def test_what_does_not_fit_is_named(self, base, tmp_path, options, rule, word):
        blocked(adapter_folder(tmp_path / "lora", **options), rule, word, base=base)

    def test_half_a_pair_is_refused(self, base, tmp_path):
        folder = adapter_folder(tmp_path / "lora")
        tensors = read_tensors(folder / "adapter_model.safetensors")
        tensors.pop(sorted(tensors)[0])
        (folder / "adapter_model.safetensors").write_bytes(safetensors_bytes(tensors))

        blocked(folder, "adapter.fit", "only one", base=base)

    def test_beside_a_whole_model_is_refused(self, good, base):
        adapter_folder(good)

        blocked(good, "adapter.mixed", base=base)

    def test_fits_the_transposed_modules_of_gpt2(self, tmp_path):
        folder = model_folder(tmp_path / "gpt2", kind="gpt2")
        lora = adapter_folder(tmp_path / "lora", target_modules=["c_attn"])
        name = "base_model.model.transformer.h.0.attn.c_attn"
        (lora / "adapter_model.safetensors").write_bytes(safetensors_bytes({
            f"{name}.lora_A.weight": numpy.ones((4, 32), "float32"),
            f"{name}.lora_B.weight": numpy.ones((96, 4), "float32"),
        }))  # fmt: skip

        report, facts = scan(lora, base_of("gpt v1", folder, "gpt2"))

        assert not report.blocked, report.to_dict()
        assert facts["modules"] == 1
