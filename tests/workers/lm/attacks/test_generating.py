"""Greedy answers: the same with the cache as without, for every way in which weights lie."""

from types import SimpleNamespace

import pytest
import torch

from tests.factories.imports import model_folder
from workers.lm.attacks.generating import Asked
from workers.lm.errors import Stopped
from workers.lm.families.transformer import load_model
from workers.lm.formats import FORMATS

pytestmark = pytest.mark.nodb
PROMPT = [5, 80, 33, 7, 120]


def events(stop=False):
    return SimpleNamespace(should_stop=lambda: stop, progress=lambda **told: None)


@pytest.fixture
def asked():
    made = []

    def make(folder, **options):
        made.append(Asked(folder, events(**options)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "int8"])
@torch.inference_mode()
def test_an_answer_is_what_the_model_says_token_by_token(tmp_path, asked, kind):
    folder = model_folder(tmp_path / "model", kind="llama" if kind == "int8" else kind)
    if kind == "int8":
        whole, folder = folder, tmp_path / "int8"
        folder.mkdir()
        FORMATS["int8"].write(whole, folder, "int8", events())
    model, ids = load_model(folder), list(PROMPT)
    for _ in range(12):
        ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))

    assert asked(folder).answer(PROMPT, 12) == ids[len(PROMPT) :]


def test_an_answer_ends_where_the_context_does(tmp_path, asked):
    model = asked(model_folder(tmp_path / "model"))

    assert model.context == 64
    assert len(model.answer(PROMPT * 12, 50)) <= 4


def test_an_answer_stops_between_two_tokens(tmp_path, asked):
    with pytest.raises(Stopped):
        asked(model_folder(tmp_path / "model"), stop=True).answer(PROMPT, 4)
