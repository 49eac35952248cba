"""Training rows that a model has really learned by heart are found, others are not."""

from types import SimpleNamespace

import pytest
import torch

from tests.factories.corpora import lines_of, texts
from tests.factories.imports import model_folder
from workers.lm.attacks import generating
from workers.lm.attacks.memorisation import draw, rows_of
from workers.lm.attacks.running import attack
from workers.lm.compute.threads import use_threads
from workers.lm.families.transformer import load_model
from workers.lm.tokenizers.saved import end_token, load_tokenizer

pytestmark = pytest.mark.nodb
EVENTS = SimpleNamespace(should_stop=lambda: False, progress=lambda **told: None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(generating, "context_of", lambda config: 512)
    return model_folder(tmp_path / "model")


def written(path, documents):
    path.write_text("\n".join(lines_of(documents)))
    return [path]


def learn(folder, text):
    """Train until the text follows from its beginning word for word."""
    use_threads(1)
    tokenizer, model = load_tokenizer(folder), load_model(folder)
    ids = [end_token(tokenizer), *tokenizer.backend_tokenizer.encode(text).ids][:100]
    batch = torch.tensor([ids])
    torch.manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(400):
        out = model(input_ids=batch, labels=batch)
        if bool((out.logits[0, :-1].argmax(-1) == batch[0, 1:]).all()):
            break
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
    model.save_pretrained(folder)


def memorised(folder, files):
    report = attack(folder, files, EVENTS, seed=1, tokens=16, rows=5, threads=1)
    [row] = [row for row in report["categories"] if row["name"] == "memorisation"]
    return report, row


def test_a_row_that_was_learned_by_heart_fails_and_others_pass(folder, tmp_path):
    known, unknown = texts(2, words=120)
    learn(folder, known)
    files = written(tmp_path / "a.jsonl", [unknown, known])

    report, row = memorised(folder, files)

    assert (row["count"], row["passed"]) == (2, 1)
    assert [(one["id"], one["found"]) for one in row["failures"]] == [("row-1", "50 tokens")]
    assert report["memorisation"] == {"shown": 50, "compared": 50, "longest": 50}
    assert row["failures"][0]["output"] in known


def test_rows_that_tell_nothing_are_passed_over(folder, tmp_path):
    tokenizer = load_tokenizer(folder)
    long, short, again = texts(1, words=120)[0], "too short", "over and over " * 80
    files = written(tmp_path / "a.jsonl", [short, long, again])

    rows = rows_of(files, tokenizer, end_token(tokenizer), 512, 5)

    assert [row.index for row in rows] == [1]
    # Where there is room for fewer than 50 tokens, they must be as long as 50 characters.
    assert rows_of(files, tokenizer, end_token(tokenizer), 20, 5) == []


def test_rows_are_drawn_evenly_and_always_the_same(tmp_path):
    files = written(tmp_path / "a.jsonl", texts(500, words=3))

    drawn = draw(files, 50)

    assert drawn == draw(files, 50)
    assert len({index for index, _text in drawn}) == 50
    assert 150 < sum(index for index, _text in drawn) / 50 < 350
