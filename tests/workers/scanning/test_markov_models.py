"""Folders of n-gram models as they come in: whole ones pass, whatever does not fit is named."""

import json

import numpy as np
import pytest

from tests.factories.imports import change_json
from tests.workers.lm.families.tiny_ngram import save_tiny_ngram
from workers.lm.tokenizers.saved import save_tokenizer
from workers.lm.tokenizers.word import learn_words
from workers.scanning.report import Report
from workers.scanning.scan import scan_folder

pytestmark = pytest.mark.nodb


@pytest.fixture
def folder(tmp_path):
    return save_tiny_ngram(tmp_path)


def scanned(folder):
    report = Report()
    facts = scan_folder(folder, report)
    return facts, {finding.rule for finding in report.findings}


def test_a_whole_model_passes_with_its_facts(folder):
    facts, rules = scanned(folder)

    assert rules == set()
    assert (facts["family"], facts["order"], facts["vocab_size"]) == ("ngram", 2, 5)
    assert facts["parameters"] == sum(facts["ngrams"])


def test_a_record_cannot_say_what_the_model_is(folder):
    change_json(folder / "ngram.json", record={"family": "transformer", "vocab_size": 9})

    facts, rules = scanned(folder)

    assert rules == set()
    assert (facts["family"], facts["vocab_size"]) == ("ngram", 5)


@pytest.mark.parametrize(
    ("file", "change", "rule"),
    [
        ("markov.json", {"format": 9}, "model.markov"),
        ("markov.json", {"units": {"unit": "syllable"}}, "model.markov"),
        ("markov.json", {"family": "hmm"}, "model.markov"),
        ("ngram.json", {"order": 3}, "model.markov"),
        ("ngram.json", {"vocabulary": {"size": 4_000_000, "end": 0}}, "model.markov"),
        ("ngram.json", {"record": {"note": "x" * 70_000}}, "model.markov"),
        ("markov.json", {"auto_map": {"AutoModel": "a.B"}}, "code.remote"),
    ],
)
def test_what_does_not_fit_is_blocked(folder, file, change, rule):
    change_json(folder / file, **change)

    assert scanned(folder) == ({}, {rule})


def test_a_tokenizer_of_another_model_is_blocked(folder):
    save_tokenizer(learn_words(["a b c d e f"], 20), folder)

    assert scanned(folder) == ({}, {"model.vocabulary"})


def test_arrays_that_were_changed_are_blocked(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-4:] = np.float32(np.nan).tobytes()
    path.write_bytes(data)

    assert scanned(folder) == ({}, {"model.markov"})
    assert json.loads((folder / "markov.json").read_text())["family"] == "ngram"
