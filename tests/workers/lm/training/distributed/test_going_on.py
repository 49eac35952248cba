"""Killed, stopped or moved to another number of processes, a parallel training ends the same."""

import json
import os
import random
import signal
import threading
import time

import numpy as np
import pytest

from tests.workers.conftest import wait_for
from tests.workers.isolation.stage import lives
from tests.workers.lm.training.distributed.filed import FiledEvents
from tests.workers.lm.training.distributed.settings import places, run, run_to_the_end, spec_of
from workers.lm.data.batches import Batches
from workers.lm.errors import InvalidTraining, RankLost, Stopped
from workers.lm.training.checkpoints import newest_valid_checkpoint
from workers.lm.training.distributed.training import train_together
from workers.lm.training.run import train

pytestmark = pytest.mark.nodb

FULL = os.environ.get("CHAOS") == "full"
#: Different random numbers in each process: dropout shows whether each goes on with its own.
CHANGES = {"dropout": 0.1, "steps": 30, "checkpoint_every": 4}


class Watched(FiledEvents):
    """Acts once when a process reports the given step; the starting process only watches."""

    def __init__(self, path, step, act):
        super().__init__(path)
        self._step, self._act = step, act

    def metric(self, step, values):
        super().metric(step, values)
        if step >= self._step:
            self._act(next(iter(values)))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The digest of the weights that each way ends with."""
    found = {}

    def of(way):
        if way not in found:
            result, _ = run_to_the_end(tmp_path_factory.mktemp(way), spec_of(2, way, **CHANGES))
            found[way] = result.files["model.safetensors"]["sha256"]
        return found[way]

    return of


def killed(root, way, attempt, rank, step):
    """An attempt that loses a process at a step."""

    def kill(name):
        if name.startswith(f"rank_{rank}_"):
            os.kill(os.getpid(), signal.SIGKILL)

    events = Watched(root / f"events-{attempt}.jsonl", step, kill)
    options = {"resume_from": root / "checkpoints", "attempt": attempt}
    spec = spec_of(2, way, **CHANGES)
    with train_together(spec, *places(root), events=events, **options) as ranks:
        with pytest.raises(RankLost, match=f"Process {rank} of 2 was killed by SIGKILL"):
            ranks.result()
        pids = ranks.pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("way", os.environ.get("WAYS", "").split() or ["ddp", "fsdp", "tensor"])
def test_killed_again_and_again_it_ends_with_the_same_weights(tmp_path, undisturbed, way):
    draw = random.Random(f"{way} {os.environ.get('SEED', 1)}")
    kills = 20 if FULL else 2
    attempt, done, begun = 0, 0, time.monotonic()
    while attempt < kills:
        attempt += 1
        newest = newest_valid_checkpoint(tmp_path / "checkpoints")
        done = newest.step if newest else 0
        furthest = CHANGES["steps"] - 1
        step = draw.randint(min(done + 1, furthest), furthest)
        if FULL:  # so that twenty kills find something to do
            step = min(step, done + 1 + draw.randrange(4))
        killed(tmp_path, way, attempt, draw.randrange(2), step)
    result, heard = run_to_the_end(tmp_path, spec_of(2, way, **CHANGES), attempt + 1)

    if FULL:
        print(f"{way}: {kills} kills and the way to the end in {time.monotonic() - begun:.0f} s")
    assert min(heard.series("loss")) > 1 or not done
    assert result.files["model.safetensors"]["sha256"] == undisturbed(way)


def stopped(root, spec, attempt, step):
    """An attempt that is asked to stop once a step is done; the step that it stopped at."""
    wanted = threading.Event()

    class Asked(FiledEvents):
        def metric(self, at, values):
            super().metric(at, values)
            if at >= step:
                wanted.set()

        def should_stop(self):
            return wanted.is_set()

    events = Asked(root / f"events-{attempt}.jsonl")
    options = {"resume_from": root / "checkpoints", "attempt": attempt}
    with pytest.raises(Stopped) as caught:
        if spec.processes == 1:
            train(spec, *places(root), events, **options)
        else:
            with train_together(spec, *places(root), events=events, **options) as ranks:
                ranks.result()
    assert caught.value.checkpoint is not None
    return caught.value.step


def test_the_wish_to_stop_is_passed_on(tmp_path, undisturbed):
    """It is the starting process that is told; the others are told by it."""
    file = tmp_path / "events-1.jsonl"

    class Told(FiledEvents):
        def should_stop(self):
            return os.getpid() == starter and '"step": 3' in file.read_text()

    starter = os.getpid()
    spec = spec_of(2, **{**CHANGES, "steps": 5000, "log_every": 1, "checkpoint_every": 0})
    with (
        pytest.raises(Stopped) as caught,
        train_together(spec, *places(tmp_path), events=Told(file)) as ranks,
    ):
        ranks.result()
    assert 3 <= caught.value.step < 5000
    newest = newest_valid_checkpoint(tmp_path / "checkpoints")
    assert newest is not None and newest.path == caught.value.checkpoint


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_two_then_one_then_two_see_each_sample_once(tmp_path, monkeypatch, way):
    seen = tmp_path / "seen"
    seen.mkdir()
    draw = Batches.batch

    def noted(self, step):
        found = self.starts(step)[self._mine]
        with (seen / f"{os.getpid()}").open("a") as file:
            file.write("".join(f"{step} {start}\n" for start in found))
        return draw(self, step)

    # One epoch of the training text is 46 steps of 8 sequences.
    spec = {"steps": 46, "sampling": "epochs", "log_every": 1, "evaluate_every": 0,
            "checkpoint_every": 46}  # fmt: skip
    _, told = run(tmp_path / "whole", spec_of(**spec))
    monkeypatch.setattr(Batches, "batch", noted)
    first = stopped(tmp_path, spec_of(2, way, **spec), 1, 11)
    second = stopped(tmp_path, spec_of(1, way, **spec), 2, 27)
    _, heard = run(
        tmp_path, spec_of(2, way, **spec), resume_from=tmp_path / "checkpoints", attempt=3
    )

    assert 11 <= first < 27 <= second < 46
    assert list(heard.series("loss")) == list(range(second + 1, 47))
    rows = [line.split() for file in seen.iterdir() for line in file.read_text().splitlines()]
    assert sorted({int(step) for step, _ in rows}) == list(range(46))
    starts = sorted(int(start) for _, start in rows)
    assert starts == list(np.arange(46 * 8) * 16)
    for step, loss in heard.series("loss").items():
        assert loss == pytest.approx(told.series("loss")[step], abs=5e-6)


def test_others_than_wrote_the_checkpoint_warn_of_dropout(tmp_path):
    changes = {**CHANGES, "steps": 4}
    run(tmp_path, spec_of(2, **changes))
    more = {**changes, "steps": 6}
    _, heard = run(tmp_path, spec_of(1, **more), resume_from=tmp_path / "checkpoints", attempt=2)

    assert any("written by 2 processes and 1 go on" in t for w, t in heard.lines if w == "warning")


def test_what_all_refuse_is_refused_once(tmp_path):
    spec = spec_of(2, architecture=None, preset="gpt2-1m", sequence_length=6000)
    with (
        pytest.raises(InvalidTraining, match="too few for a sequence") as caught,
        train_together(spec, *places(tmp_path), events=FiledEvents(tmp_path / "e")) as ranks,
    ):
        ranks.result()
    assert caught.value.field == "sequence_length"


def test_ranks_of_a_killed_starter_die(tmp_path):
    """Nobody is left to end them: the kernel does."""
    spec = spec_of(2, steps=100_000, checkpoint_every=0, evaluate_every=0)
    reading, writing = os.pipe()
    starter = os.fork()
    if not starter:
        try:
            events = FiledEvents(tmp_path / "events.jsonl")
            with train_together(spec, *places(tmp_path), events=events) as ranks:
                os.write(writing, json.dumps(ranks.pids).encode())
                ranks.result()
        finally:
            os._exit(1)
    pids = json.loads(os.read(reading, 1000))
    assert all(lives(pid) for pid in pids)
    os.kill(starter, signal.SIGKILL)
    os.waitpid(starter, 0)

    wait_for(lambda: not any(lives(pid) for pid in pids), "no rank outlives its starter")
