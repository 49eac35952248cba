"""What a hidden Markov model says of texts, by every way of asking and by trying all paths."""

import itertools
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.workers.lm.families.hmm.texts import NAMES, letters
from workers.lm.errors import InvalidWork, UnusableModel
from workers.lm.families.hmm.chunks import blocks, cut
from workers.lm.families.hmm.expectation import Expected
from workers.lm.families.hmm.model import HmmModel
from workers.lm.families.hmm.parameters import Parameters, floored
from workers.lm.families.hmm.picture import picture
from workers.lm.families.markov import sample

pytestmark = pytest.mark.nodb


def random_parameters(states, vocab_size, seed):
    generator = np.random.default_rng(seed)
    return Parameters.floored(
        generator.standard_exponential(states),
        generator.standard_exponential((states, states)),
        generator.standard_exponential((states, vocab_size)),
        1e-9,
    )


def random_text(vocab_size, lengths, seed):
    generator = np.random.default_rng(seed)
    offsets = np.cumsum([0, *lengths])
    return generator.integers(0, vocab_size, offsets[-1]), offsets


def all_paths(parameters, tokens):
    """Every path of states with its probability together with the tokens'."""
    for path in itertools.product(range(parameters.states), repeat=len(tokens)):
        chance = parameters.start[path[0]] * parameters.emissions[path[0], tokens[0]]
        for one, two, token in zip(path, path[1:], tokens[1:], strict=False):
            chance *= parameters.transitions[one, two] * parameters.emissions[two, token]
        yield path, chance


@pytest.fixture
def model():
    return HmmModel(random_parameters(4, 27, seed=3), {})


@pytest.mark.parametrize("seed", range(5))
def test_best_paths_and_likelihoods_are_those_of_trying_all(seed):
    parameters = random_parameters(3, 4, seed)
    model = HmmModel(parameters, {})
    tokens, offsets = random_text(4, [5, 1, 7, 0, 3, 6], seed)
    states, logs = model.states(tokens, offsets), model.score(tokens, offsets)
    for begin, end in itertools.pairwise(offsets):
        if begin == end:
            continue
        paths = dict(all_paths(parameters, tokens[begin:end]))
        assert tuple(states[begin:end]) == max(paths, key=paths.get)
        assert logs[begin:end].sum() == pytest.approx(np.log(sum(paths.values())), rel=1e-12)


@pytest.mark.parametrize("space", ["scaled", "log"])
def test_expected_counts_are_those_of_trying_all(space):
    parameters = random_parameters(3, 4, seed=8)
    tokens, offsets = random_text(4, [5, 1, 6, 2], seed=9)
    expected = Expected.none(3, 4)
    for block in blocks(tokens, *cut(offsets, 4), 3):
        expected.add(block, parameters, space)
    tried = Expected.none(3, 4)
    for begin, size in zip(*cut(offsets, 4), strict=True):
        text = tokens[begin : begin + size]
        paths = dict(all_paths(parameters, text))
        total = sum(paths.values())
        tried.log_likelihood += np.log(total)
        for path, chance in paths.items():
            tried.start[path[0]] += chance / total
            np.add.at(tried.transitions, (path[:-1], path[1:]), chance / total)
            np.add.at(tried.emissions, (path, text), chance / total)
    for name in ("start", "transitions", "emissions", "log_likelihood"):
        assert getattr(expected, name) == pytest.approx(getattr(tried, name), rel=1e-12), name


def test_cut_pieces_cover_every_sequence_and_none_reaches_over_an_offset():
    begins, sizes = cut(np.array([0, 5, 5, 12, 13]), 3)
    assert list(zip(begins.tolist(), sizes.tolist(), strict=True)) == [
        (0, 3), (3, 2), (5, 3), (8, 3), (11, 1), (12, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("states", [1, 4, 30])
def test_every_way_of_asking_agrees(states):
    model = HmmModel(random_parameters(states, 27, seed=4), {})
    # Long enough to be cut into parts, where there are few states, and short ones around it.
    tokens, offsets = random_text(27, [3, 2600, 40, 0, 1], seed=5)
    logs = model.score(tokens, offsets)
    reader = None
    for place, token in enumerate(tokens.tolist()):
        if place in offsets:
            reader = model.reader()
        assert reader.log_probs()[token] == pytest.approx(logs[place], rel=1e-6)
        reader.push(token)
    assert np.array_equal(model.log_probs(tokens[2643:].tolist()), reader.log_probs())
    assert np.exp(reader.log_probs(), dtype=float).sum() == pytest.approx(1, abs=1e-6)


def test_one_long_sequence_scores_like_its_beginnings(model):
    tokens = np.tile(letters(), 3)
    logs = model.score(tokens, np.array([0, len(tokens)]))
    short = model.score(tokens[:900], np.array([0, 900]))
    assert logs[:900] == pytest.approx(short, rel=1e-12)
    assert np.isfinite(logs).all()


def test_saved_model_scores_with_the_same_bits(model, tmp_path):
    model.record = {"log_likelihood": -1.25, "history": [-2.0, -1.25]}
    model.save(tmp_path)
    loaded = HmmModel.load(tmp_path)
    text = random_text(27, [3000, 17], seed=6)
    assert loaded.score(*text).tobytes() == model.score(*text).tobytes()
    assert loaded.facts() == model.facts()
    assert loaded.log_probs([1, 2, 3]).tobytes() == model.log_probs([1, 2, 3]).tobytes()


def damage_json(**changes):
    def damage(folder):
        path = folder / "hmm.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return damage


def damage_array(name, change):
    def damage(folder):
        arrays = load_file(folder / "model.safetensors")
        arrays[name] = change(arrays[name].copy())
        save_file(arrays, folder / "model.safetensors")

    return damage


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "hmm.json").unlink(), "cannot be read"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"12"), "cannot be read"),
        (damage_json(family="ngram"), "another family"),
        (damage_json(format=2), "another family or a newer format"),
        (damage_json(states=3), "has no start of shape"),
        (damage_json(states=-1), "names -1 states"),
        (damage_json(vocab_size=28), "has no emissions of shape"),
        (damage_array("transitions", lambda array: array.astype(np.float32)), "float64"),
        (damage_array("transitions", lambda array: array * 1.01), "transitions holds no prob"),
        (damage_array("start", lambda array: array * np.nan), "start holds no probabilities"),
        (damage_array("emissions", lambda array: array * 0 - 1), "emissions holds no prob"),
    ],
)
def test_damaged_model_is_refused_with_the_reason(model, tmp_path, damage, reason):
    model.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(UnusableModel, match=reason):
        HmmModel.load(tmp_path)


def test_unknown_tokens_are_refused(model):
    with pytest.raises(InvalidWork, match="tokens: The ids go from 0 to 27"):
        model.score(np.array([0, 27]), np.array([0, 2]))
    with pytest.raises(InvalidWork, match="There is no token -1"):
        model.log_probs([3, -1])


def test_picture_tells_shares_and_durations(model):
    seen = picture(model, NAMES, most=3)
    transitions = np.array(seen["transitions"])
    shares = np.array([state["stationary"] for state in seen["states"]])
    assert shares @ transitions == pytest.approx(shares)
    assert shares.sum() == pytest.approx(1)
    stays = np.arange(1, 5000)
    for number, state in enumerate(seen["states"]):
        stay = transitions[number, number]
        assert state["duration"] == pytest.approx((stays * stay ** (stays - 1) * (1 - stay)).sum())
        chances = [emission["probability"] for emission in state["emissions"]]
        assert len(chances) == 3
        assert chances == sorted(model.parameters.emissions[number], reverse=True)[:3]
        assert all(NAMES[emission["id"]] == emission["name"] for emission in state["emissions"])
    json.dumps(seen, allow_nan=False)
    with pytest.raises(InvalidWork, match="names: 26 names for 27 tokens"):
        picture(model, NAMES[1:])


def test_single_state_is_never_left():
    model = HmmModel(Parameters(np.ones(1), np.ones((1, 1)), np.full((1, 2), 0.5)), {})
    (state,) = picture(model, ["a", "b"])["states"]
    assert state["duration"] is None
    assert state["stationary"] == pytest.approx(1)


def test_samples_follow_the_seed_and_the_model(model):
    one, same, other = (sample(model, 3000, seed=seed) for seed in (1, 1, 2))
    assert one == same != other
    logs = model.score(np.array(one.tokens), np.array([0, 3000]))
    assert np.array(one.log_probs) == pytest.approx(logs, abs=1e-5)
    # What a model draws costs it on average as much as it expects.
    assert logs.mean() == pytest.approx(
        model.score(np.array(other.tokens), np.array([0, 3000])).mean(), abs=0.05
    )


def test_floored_rows_are_the_most_probable_ones():
    counts = np.array([[50.0, 30.0, 0.2, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 97.0, 1.0]])
    rows = floored(counts, 0.01)
    assert rows.sum(axis=1) == pytest.approx(1)
    assert rows[0] == pytest.approx([0.98 * 5 / 8, 0.98 * 3 / 8, 0.01, 0.01])
    assert rows[1] == pytest.approx(0.25)
    assert rows[2] == pytest.approx(counts[2] / 100)
    best = (counts[0] * np.log(rows[0])).sum()
    generator = np.random.default_rng(1)
    for _ in range(200):
        nearby = floored(rows[:1] * np.exp(0.05 * generator.standard_normal(4)), 0.01)[0]
        assert (counts[0] * np.log(nearby)).sum() <= best + 1e-9
