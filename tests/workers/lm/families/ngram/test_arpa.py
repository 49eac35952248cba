"""ARPA files are written as by KenLM, read back the same, and refused by line if they are bad."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.workers.lm.families.ngram.sentences import LEARNED, TESTED, Encoded
from workers.lm.errors import InvalidWork
from workers.lm.families.ngram.arpa import write_arpa
from workers.lm.families.ngram.arpa_reader import read_arpa
from workers.lm.families.ngram.spec import NgramSpec, Vocabulary
from workers.lm.families.ngram.training import train_ngram

pytestmark = pytest.mark.nodb

TEXT = Encoded(LEARNED)
#: What `lmplz -o 3 --discount_fallback` of KenLM 4cb443e made of the sentences below.
TINY = Path(__file__).with_name("tiny.arpa")
SENTENCES = [
    sentence.split() for sentence in ("the cat saw the dog", "a dog saw the cat run", "the cat ran")
]


def parsed(path):
    """Header lines, and numbers by n-gram."""
    lines = path.read_text().splitlines()
    rows = [line.split("\t") for line in lines if "\t" in line]
    frame = [line for line in lines if "\t" not in line]
    return frame, {row[1]: [float(row[0]), *map(float, row[2:])] for row in rows}


def test_file_is_the_one_that_lmplz_writes(tmp_path):
    text = Encoded(SENTENCES)
    model = train_ngram(NgramSpec(order=3), *text.encode(SENTENCES), text.vocabulary)
    write_arpa(model, text.names, tmp_path / "own.arpa")
    frame, own = parsed(tmp_path / "own.arpa")
    their_frame, theirs = parsed(TINY)
    assert frame == their_frame
    assert own.keys() == theirs.keys()
    for ngram, numbers in theirs.items():
        assert own[ngram] == pytest.approx(numbers, abs=2e-7), ngram
    whole_numbers = re.findall(r"\t(\S+)$|^(\S+)\t", (tmp_path / "own.arpa").read_text(), re.M)
    assert not [pair for pair in whole_numbers if "".join(pair) in ("-0", "0.0", "-0.0", "-inf")]


def test_file_of_lmplz_is_read_and_scores_the_same():
    model, names = read_arpa(TINY)
    assert names[:4] == ["<unk>", "<s>", "</s>", "the"]
    assert model.vocabulary == Vocabulary(size=10, begin=1, end=2, unknown=0)
    # By hand from the file: <s> the / the cat / the cat ran / ran </s>, where "cat ran </s>" is.
    _, numbers = parsed(TINY)
    ngrams = ["<s> the", "<s> the cat", "the cat ran", "cat ran </s>"]
    tokens = np.array([names.index(word) for word in ("the", "cat", "ran", "</s>")])
    logs = model.score(tokens, np.array([0, 4])) / np.log(10)
    assert logs == pytest.approx([numbers[ngram][0] for ngram in ngrams], abs=1e-6)
    # "dog a" is unknown: the weights of "saw the dog"-like contexts are taken, then "a" alone.
    tokens = np.array([names.index(word) for word in ("the", "dog", "a")])
    last = model.score(tokens, np.array([0, 3]))[-1] / np.log(10)
    weights = numbers["the dog"][1] + numbers["dog"][1]
    assert last == pytest.approx(weights + numbers["a"][0], abs=1e-6)


@pytest.mark.parametrize(("order", "prune"), [(1, ()), (2, ()), (5, ()), (5, (0, 0, 1))])
def test_written_model_is_read_back(tmp_path, order, prune):
    spec = NgramSpec(order=order, prune=prune)
    model = train_ngram(spec, *TEXT.encode(LEARNED), TEXT.vocabulary)
    write_arpa(model, TEXT.names, tmp_path / "model.arpa")
    back, names = read_arpa(tmp_path / "model.arpa")
    assert names == TEXT.names
    assert back.vocabulary == model.vocabulary
    assert back.facts()["ngrams"] == model.facts()["ngrams"]
    assert back.facts()["source"] == "ARPA"
    tested = TEXT.encode(TESTED)
    assert back.score(*tested) == pytest.approx(model.score(*tested), abs=5e-6)
    back.save(tmp_path)
    assert type(back).load(tmp_path).score(*tested).tobytes() == back.score(*tested).tobytes()


def test_ngrams_whose_endings_are_missing_are_found(tmp_path):
    # SRILM and others leave out "b c" where "a b c" is there; it weighs in when asked.
    path = tmp_path / "model.arpa"
    path.write_text(
        "\n\\data\\\nngram 1=6\nngram 2=2\nngram 3=1\n\n\\1-grams:\n-99\t<s>\t-0.25\n-0.5\t</s>\n"
        "-0.75\ta\t-0.1\n-0.75\tb\t-0.2\n-0.9\tc\n-1.5\t<unk>\n\n\\2-grams:\n-0.3\ta b\t-0.4\n"
        "-0.2\t<s> a\n\n\\3-grams:\n-0.05\ta b c\n\n\\end\\\n"
    )
    model, names = read_arpa(path)
    tokens = [names.index(word) for word in ("a", "b", "c", "b", "</s>")]
    logs = model.score(np.array(tokens), np.array([0, 5])) / np.log(10)
    assert logs == pytest.approx([-0.2, -0.3, -0.05, -0.75, -0.2 - 0.5], abs=1e-6)
    for place, token in enumerate(tokens):
        row = model.log_probs(tokens[:place])
        assert row[token] / np.log(10) == pytest.approx(logs[place], abs=1e-6)


GOOD = TINY.read_text()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("\\data\\", "\\date\\", r"Line 1: Expected \\data\\, found “\\date\\”"),
        ("ngram 2=13", "ngram 3=13", "Line 3: Expected “ngram 2=NUMBER”, found “ngram 3=13”"),
        ("ngram 2=13", "ngram 2=many", "Line 3: Expected “ngram 2=NUMBER”"),
        ("ngram 1=10", "ngram 1=0", "Line 5: 0 tokens"),
        ("ngram 1=10", "ngram 1=99999999999", "Line 5: 99999999999 tokens"),
        ("ngram 1=10", "ngram 1=9", r"Line 16: Expected \\2-grams:, found “-0.8979242\tran"),
        (
            "ngram 2=13",
            "ngram 2=14",
            "Line 32: Expected a probability, a tab and a 2-gram, found “”",
        ),
        ("\\2-grams:", "\\two-grams:", r"Line 18: Expected \\2-grams:, found “\\two-grams:”"),
        ("\tcat saw\t", "\tcow saw\t", "Line 25: “cow” is not among the 1-grams"),
        ("\tcat saw\t", " cat saw ", "Line 25: Expected a probability, a tab and a 2-gram"),
        ("\tcat saw\t", "\tcat  saw\t", "Line 25: Expected a probability, a tab and a 2-gram"),
        ("\tcat saw\t", "\tsaw\t", "Line 25: Expected a probability, a tab and a 2-gram"),
        ("-0.6532125\tcat saw", "minus\tcat saw", "Line 25: Expected numbers in “minus\tcat saw"),
        ("-0.6532125\tcat saw", "nan\tcat saw", "Line 25: The logarithm of the probability must"),
        ("-0.6532125\tcat saw", "0.6\tcat saw", "Line 25: The logarithm of the probability must"),
        ("cat saw\t-0.30103", "cat saw\tinf", "Line 25: The back-off weight must be a finite"),
        ("\tcat saw\t", "\tcat <s>\t", "Line 25: <s> can only come first"),
        ("\tcat saw\t", "\tthe cat\t", "Line 25: This n-gram is there twice"),
        ("\tsaw\t", "\tthe\t", "Line 12: “the” is there twice"),
        ("\tcat saw the\n", "\tcat dog the\n", "Line 37: Its first 2 tokens are not among the 2-"),
        (
            "\tcat saw the\n",
            "\tcat saw the\t-1\n",
            "Line 37: The longest n-grams have no back-off weight",
        ),
        ("\t<s>\t", "\t<begin>\t", "Line 16: The 1-grams end without <s>"),
        ("\t</s>\t", "\t<end>\t", "Line 16: The 1-grams end without </s>"),
        ("\\end\\\n", "\\ende\\\n", r"Line 48: Expected \\end\\, found “\\ende\\”"),
        ("\\end\\\n", "", r"Line 48: The file ends where \\end\\ should be"),
        ("\\end\\\n", "\\end\\\nmore\n", r"Line 49: There is more behind \\end\\"),
        (GOOD, "", r"Line 1: The file ends where \\data\\ should be"),
        ("\\data\\", "x" * 70_000, "Line 1: The line is too long"),
    ],
)
def test_bad_files_are_refused_by_line(tmp_path, old, new, reason):
    path = tmp_path / "bad.arpa"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1), encoding="latin-1")
    with pytest.raises(InvalidWork, match=reason) as refused:
        read_arpa(path)
    assert refused.value.field == "arpa"


def test_compressed_files_and_foreign_encodings_are_named(tmp_path):
    path = tmp_path / "bad.arpa"
    path.write_bytes(b"\x1f\x8b\x08" + bytes(20))
    with pytest.raises(InvalidWork, match="Line 1: The file is compressed"):
        read_arpa(path)
    path.write_bytes(GOOD.replace("\tsaw\t", "\tsaß\t", 1).encode("latin-1"))
    with pytest.raises(InvalidWork, match=r"Line 12: “sa.” is not UTF-8"):
        read_arpa(path)


@pytest.mark.parametrize(
    ("names", "vocabulary", "field", "reason"),
    [
        (["?", "?", "?", "a"], {}, "names", "4 names for 5 tokens"),
        (["?", "?", "?", "a b", "c"], {}, "names", "Token 3 is called 'a b'"),
        (["?", "?", "?", "a", ""], {}, "names", "Token 4 is called ''"),
        (["?", "?", "?", "a", "a"], {}, "names", "Tokens 3 and 4 are both called 'a'"),
        (["?", "?", "?", "a", "<s>"], {}, "names", "Tokens 1 and 4 are both called '<s>'"),
        (["?", "b", "c", "d", "e"], {"end": None}, "end", "needs an end marker"),
    ],
)
def test_names_that_arpa_cannot_hold_are_refused(tmp_path, names, vocabulary, field, reason):
    vocabulary = Vocabulary(**{"size": 5, "begin": 1, "end": 2, "unknown": 0, **vocabulary})
    model = train_ngram(NgramSpec(order=2), np.array([3, 4, 2]), np.array([0, 3]), vocabulary)
    with pytest.raises(InvalidWork, match=reason) as refused:
        write_arpa(model, names, tmp_path / "model.arpa")
    assert refused.value.field == field


def test_begin_without_an_id_of_its_own_is_written(tmp_path):
    vocabulary = Vocabulary(size=4, end=0)
    model = train_ngram(NgramSpec(order=2), np.array([1, 2, 3, 1, 0]), np.array([0, 5]), vocabulary)
    write_arpa(model, ["?", "a", "b", "ñ"], tmp_path / "model.arpa")
    back, names = read_arpa(tmp_path / "model.arpa")
    assert names == ["</s>", "a", "b", "ñ", "<s>"]
    text = np.array([3, 1, 0]), np.array([0, 3])
    assert back.score(*text) == pytest.approx(model.score(*text), abs=1e-6)
