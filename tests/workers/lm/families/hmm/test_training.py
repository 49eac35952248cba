"""What hidden Markov models learn, that they never get worse, and that they can be interrupted."""

import json

import numpy as np
import pytest

from tests.workers.lm.families.hmm.texts import NAMES, drawn, letters
from workers.lm.errors import CorruptCheckpoint, InvalidTraining
from workers.lm.families.hmm.picture import picture
from workers.lm.families.hmm.progress import HmmProgress
from workers.lm.families.hmm.spec import HmmSpec
from workers.lm.families.hmm.training import train_hmm

pytestmark = pytest.mark.nodb


def whole(tokens):
    return tokens, np.array([0, len(tokens)])


def test_two_states_tell_vowels_from_consonants():
    spec = HmmSpec(states=2, iterations=200, restarts=6, seed=5, tolerance=1e-7)
    model = train_hmm(spec, *whole(letters()), 27)
    seen = picture(model, NAMES, most=27)
    best = {}
    for state in seen["states"]:
        for emission in state["emissions"]:
            held = best.setdefault(emission["name"], (0.0, -1))
            best[emission["name"]] = max(held, (emission["probability"], state["state"]))
    vowel_state = best["e"][1]
    assert {name for name in "aeiou" if best[name][1] == vowel_state} == set("aeiou")
    assert not {name for name in "bcdfghjklmnpqrstvwxz" if best[name][1] == vowel_state}
    # Vowels are mostly followed by consonants, and the other way round.
    assert all(row[place] < 0.5 for place, row in enumerate(seen["transitions"]))


def test_known_transitions_are_found_again():
    transitions = [[0.9, 0.1, 0.0], [0.05, 0.8, 0.15], [0.3, 0.1, 0.6]]
    emissions = [
        [0.7, 0.2, 0.1, 0.0, 0.0, 0.0], [0.0, 0.1, 0.7, 0.2, 0.0, 0.0],
        [0.05, 0.0, 0.0, 0.05, 0.5, 0.4],
    ]  # fmt: skip
    tokens = drawn([1, 0, 0], transitions, emissions, 40_000, seed=1)
    spec = HmmSpec(states=3, iterations=200, restarts=3, chunk_length=500, tolerance=1e-8)
    model = train_hmm(spec, *whole(tokens), 6)
    # States come in any order; what they emit tells which is which.
    order = [int(np.argmax(model.parameters.emissions[:, token])) for token in (0, 2, 4)]
    assert sorted(order) == [0, 1, 2]
    found = model.parameters.transitions[np.ix_(order, order)]
    assert found == pytest.approx(np.array(transitions), abs=0.02)
    assert model.parameters.emissions[order] == pytest.approx(np.array(emissions), abs=0.02)


@pytest.mark.parametrize("space", ["scaled", "log"])
@pytest.mark.parametrize("floor", [1e-10, 5e-3])
def test_likelihood_never_falls(space, floor):
    # The high floor binds for many letters, so that it takes part in learning.
    spec = HmmSpec(
        states=4, iterations=40, restarts=3, tolerance=0.0, chunk_length=61, floor=floor,
        space=space,
    )  # fmt: skip
    histories = {}
    train_hmm(
        spec, *whole(letters()[:900]), 27,
        on_iteration=lambda progress: histories.update(enumerate(progress.histories)),
    )  # fmt: skip
    assert len(histories) == 3
    for history in histories.values():
        # Without tolerance a restart ends when it gains nothing, be it by the last bits.
        assert len(history) > 20
        assert np.diff(history).min() > -1e-12
        assert history[-1] > history[0] + 0.05


def test_both_spaces_learn_the_same():
    scaled, logs = (
        train_hmm(
            HmmSpec(states=3, iterations=15, restarts=1, space=space, tolerance=0.0),
            *whole(letters()[:1500]), 27,
        )
        for space in ("scaled", "log")
    )  # fmt: skip
    assert scaled.record["history"] == pytest.approx(logs.record["history"], rel=1e-10)
    assert scaled.parameters.emissions == pytest.approx(logs.parameters.emissions, abs=1e-9)


def test_nothing_is_below_the_floor_and_unseen_tokens_are_possible():
    floor = 1e-4
    spec = HmmSpec(states=3, iterations=30, restarts=1, floor=floor)
    model = train_hmm(spec, *whole(letters()), 40)
    parameters = model.parameters
    for array in (parameters.start, parameters.transitions, parameters.emissions):
        assert array.min() >= floor
        assert array.sum(axis=-1) == pytest.approx(1)
    assert model.score(np.array([39, 39]), np.array([0, 2])) == pytest.approx(np.log(floor))


def test_best_restart_is_kept():
    spec = HmmSpec(states=2, iterations=30, restarts=5, tolerance=0.0)
    facts = train_hmm(spec, *whole(letters()), 27).facts()
    assert len(set(facts["restarts"])) > 1
    assert facts["log_likelihood"] == max(facts["restarts"]) == facts["history"][-1]
    assert facts["restart"] == int(np.argmax(facts["restarts"]))
    json.dumps(facts)


def test_converged_restart_ends_early():
    spec = HmmSpec(states=2, iterations=500, restarts=1, tolerance=1e-3)
    facts = train_hmm(spec, *whole(letters()), 27).facts()
    assert facts["converged"]
    assert facts["iterations"] < 500
    assert facts["history"][-1] - facts["history"][-2] <= 1e-3
    assert all(np.diff(facts["history"][:-1]) > 1e-3)


class Enough(Exception):
    pass


@pytest.mark.parametrize("after", [1, 7, 8, 11, 16])
def test_interrupted_training_ends_with_the_same_bits(tmp_path, after):
    # Restarts are of eight iterations: 8 ends one of them, 16 ends all.
    spec = HmmSpec(states=3, iterations=8, restarts=2, tolerance=0.0, chunk_length=100)
    tokens = letters()[:1200]
    unbroken = train_hmm(spec, *whole(tokens), 27)
    done = []

    def stop(progress):
        done.append(progress)
        if len(done) == after:
            progress.save(tmp_path)
            raise Enough

    with pytest.raises(Enough):
        train_hmm(spec, *whole(tokens), 27, on_iteration=stop)
    told = []
    resumed = train_hmm(
        spec, *whole(tokens), 27, on_iteration=told.append, resume=HmmProgress.load(tmp_path)
    )
    assert [(p.restart, p.iteration) for p in [*done, *told]] == [
        (restart, iteration) for restart in range(2) for iteration in range(1, 9)
    ]
    assert resumed.facts() == unbroken.facts()
    for name in ("start", "transitions", "emissions"):
        one, other = (getattr(model.parameters, name) for model in (unbroken, resumed))
        assert one.tobytes() == other.tobytes()


def test_progress_of_another_training_is_refused(tmp_path):
    kept = []
    spec = HmmSpec(states=2, iterations=2, restarts=1)
    train_hmm(spec, *whole(letters()[:300]), 27, on_iteration=kept.append)
    kept[0].save(tmp_path)
    progress = HmmProgress.load(tmp_path)
    with pytest.raises(InvalidTraining, match="resume: It was begun with other"):
        train_hmm(spec, *whole(letters()[:301]), 27, resume=progress)
    with pytest.raises(InvalidTraining, match="resume: It was begun with other"):
        train_hmm(HmmSpec(states=3), *whole(letters()[:300]), 27, resume=progress)
    (tmp_path / "progress.json").write_text("{}")
    with pytest.raises(CorruptCheckpoint, match="histories|best_restart"):
        HmmProgress.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"states": 0}, "states"), ({"states": 2.5}, "states"), ({"states": True}, "states"),
        ({"iterations": 0}, "iterations"), ({"tolerance": float("nan")}, "tolerance"),
        ({"restarts": 0}, "restarts"), ({"seed": -1}, "seed"), ({"chunk_length": 1}, "chunk_length"),
        ({"floor": 0.0}, "floor"), ({"floor": 1e-2, "states": 60}, "floor"),
        ({"floor": 1e-2}, "floor"), ({"space": "linear"}, "space"), ({"stats": 3}, "stats"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused_by_name(changes, field):
    with pytest.raises(InvalidTraining) as refused:
        train_hmm(HmmSpec.from_dict(changes), *whole(np.arange(64)), 64)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("tokens", "offsets", "field"),
    [
        ([], [0], "tokens"), ([0, 27], [0, 2], "tokens"), ([0, -1], [0, 2], "tokens"),
        ([0.5], [0, 1], "tokens"), ([0, 1], [0, 1], "offsets"), ([0, 1], [0, 2, 1, 2], "offsets"),
        ([0, 1], [1, 2], "offsets"), ([0, 1], [], "offsets"),
    ],
)  # fmt: skip
def test_text_that_does_not_fit_is_refused(tokens, offsets, field):
    with pytest.raises(InvalidTraining) as refused:
        train_hmm(HmmSpec(), np.array(tokens), np.array(offsets), 27)
    assert refused.value.field == field


def test_settings_survive_plain_data():
    spec = HmmSpec(states=5, space="log", floor=1e-5)
    assert HmmSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
