"""Several nodes, each with a disk of its own, train as one machine with as many processes does."""

import os
import shutil
import socket
import traceback

import pytest

from tests.workers.lm.training.distributed import settings
from tests.workers.lm.training.distributed.filed import FiledEvents, recorded
from tests.workers.lm.training.distributed.settings import LLAMA, places, run, spec_of
from workers.lm.errors import InvalidTraining, RankLost
from workers.lm.training.distributed import launch
from workers.lm.training.distributed.network import interface_of
from workers.lm.training.distributed.training import train_together

pytestmark = pytest.mark.nodb

SETTINGS = {"steps": 12, "checkpoint_every": 4, "batch_size": 12, "dropout": 0.1,
            "architecture": LLAMA}  # fmt: skip
GENTLE = {**SETTINGS, "dropout": 0.0, "learning_rate": 1e-3, "min_learning_rate": 1e-3}


def over_nodes(root, spec, **options):
    """Train on `spec.nodes` nodes, each in `root/n`; the result and what was told of all."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    meeting = {
        "host": "127.0.0.1", "port": listener.getsockname()[1], "token": "told to nobody else",
        "own": "127.0.0.1", "nodes": spec.nodes,
    }  # fmt: skip
    others = [forked(root, spec, {**meeting, "number": n}, options) for n in range(1, spec.nodes)]
    try:
        mine = {**meeting, "number": 0, "listener": listener.detach()}
        result = node(root, spec, mine, options)
    finally:
        statuses = [os.waitpid(pid, 0)[1] for pid in others]
    assert not any(statuses), (root / "1" / "error").read_text()
    heard = recorded(root / "0" / f"events-{options.get('attempt', 1)}.jsonl")
    return result, heard


def forked(root, spec, meeting, options):
    """Another node, as a process; it leaves its error beside its files."""
    pid = os.fork()
    if pid:
        return pid
    status, folder = 1, root / str(meeting["number"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        assert node(root, spec, meeting, options) is None
        status = 0
    except BaseException:
        (folder / "error").write_text(traceback.format_exc())
    finally:
        os._exit(status)


def node(root, spec, meeting, options):
    folder = root / str(meeting["number"])
    events = FiledEvents(folder / f"events-{options.get('attempt', 1)}.jsonl")
    options = {"resume_from": folder / "checkpoints", **options}
    with train_together(spec, *places(folder), events=events, meeting=meeting, **options) as ranks:
        return ranks.result()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process tells of the same."""
    return run(tmp_path_factory.mktemp("alone"), spec_of(**GENTLE))[1]


@pytest.mark.parametrize(("way", "processes"), [("ddp", 2), ("fsdp", 4), ("tensor", 2)])
def test_find_what_one_process_finds(tmp_path, alone, way, processes):
    result, heard = over_nodes(tmp_path, spec_of(processes, way, nodes=2, **GENTLE))

    for name in ("loss", "validation_loss"):
        expected, found = alone.series(name), heard.series(name)
        assert found.keys() == expected.keys()
        assert max(abs(found[step] - expected[step]) for step in expected) < 5e-6
    # Only the first node writes; the others tell how they are.
    assert (tmp_path / "0" / "checkpoints").is_dir()
    assert not list((tmp_path / "1").glob("checkpoints/*"))
    theirs = recorded(tmp_path / "1" / "events-1.jsonl")
    last = processes - 1
    assert f"rank_{last}_step_seconds" in {name for _, row in theirs.metrics for name in row}
    assert not theirs.checkpoints
    assert result.files


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a training over two nodes, and the digest of its weights."""
    root = tmp_path_factory.mktemp("undisturbed")
    result, _ = over_nodes(root, spec_of(2, nodes=2, **SETTINGS))
    return root, result.files["model.safetensors"]["sha256"]


def test_the_weights_are_those_of_one_node_with_as_many_processes(tmp_path, undisturbed):
    result, _ = run(tmp_path, spec_of(2, **SETTINGS))

    assert result.files["model.safetensors"]["sha256"] == undisturbed[1]


@pytest.mark.parametrize("damaged", [False, True])
def test_all_go_on_from_the_newest_checkpoint_that_each_has_whole(tmp_path, undisturbed, damaged):
    before, expected = undisturbed
    kept = {"0": ["step-000004.a1", "step-000008.a1"], "1": ["step-000004.a1"]}
    if damaged:
        kept["1"].append("step-000008.a1")
    for place, names in kept.items():
        for name in names:
            shutil.copytree(
                before / "0" / "checkpoints" / name, tmp_path / place / "checkpoints" / name
            )
    if damaged:
        torn = tmp_path / "1" / "checkpoints" / "step-000008.a1" / "rng-1.safetensors"
        torn.write_bytes(torn.read_bytes()[:-1] + b"?")
    result, heard = over_nodes(tmp_path, spec_of(2, nodes=2, **SETTINGS), attempt=2)

    assert any("Going on from checkpoint step-000004.a1" in text for _, text in heard.lines)
    assert result.files["model.safetensors"]["sha256"] == expected


def test_a_node_that_made_other_tokens_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "_CAUSE_WITHIN_S", 0.5)

    def others(folder):
        files, *rest = settings.places(folder)
        if folder.name == "1":
            files[0].write_text(files[0].read_text() + '{"text": "something else"}\n')
        return files, *rest

    monkeypatch.setitem(globals(), "places", others)
    with pytest.raises((RankLost, AssertionError)):
        over_nodes(tmp_path, spec_of(2, nodes=2, **SETTINGS))

    assert "Install the same packages on all nodes" in (tmp_path / "1" / "error").read_text()


def test_processes_that_nodes_cannot_share_evenly_are_refused():
    with pytest.raises(InvalidTraining, match=r"Use 1, 2 or 4\.") as refused:
        spec_of(4, nodes=3).check()

    assert refused.value.field == "nodes"


def test_an_address_belongs_to_an_interface_of_this_machine():
    assert interface_of("127.0.0.1") == interface_of("localhost") == "lo"
    with pytest.raises(InvalidTraining, match="SLIPWAY_NODE_ADDRESS"):
        interface_of("203.0.113.7")
