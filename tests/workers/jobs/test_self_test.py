"""The self-test of a node: it reports, saves, resumes to the same end, and fails as asked."""

from pathlib import Path

import pytest

from models_app.core.errors import InvalidInput
from models_app.core.validation import parse
from models_app.jobs.kind import JobFailed, JobStopped, job_kinds
from tests.workers.lm.recording import Recorder

FAST = {"steps": 12, "step_ms": 0, "checkpoint_every": 5}


class Context(Recorder):
    """A job's context over a folder, for one attempt."""

    def __init__(self, folder: Path, epoch: int = 1, stop_after: int | None = None) -> None:
        super().__init__(stop_after)
        self.checkpoint_dir = folder
        self.epoch = epoch

    def environment(self, data) -> None:
        self.said = data


def run(ctx: Context, **changes):
    kind = job_kinds.get("self_test")
    return kind.run(parse(kind.Params, {**FAST, **changes}), {}, ctx)


def test_it_reports_every_step_and_saves_on_the_way(tmp_path):
    ctx = Context(tmp_path)
    result = run(ctx, lines_per_step=2)
    assert result["steps"] == 12
    assert [step for step, _ in ctx.metrics] == list(range(1, 13))
    assert len(ctx.lines) == 24
    assert ctx.progresses[-1]["step"] == ctx.progresses[-1]["total"] == 12
    assert [saved["step"] for saved in ctx.checkpoints] == [5, 10]
    assert all(Path(saved["path"]).is_file() for saved in ctx.checkpoints)


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = run(Context(tmp_path / "whole"))
    first = Context(tmp_path / "parts", stop_after=7)
    with pytest.raises(JobStopped, match="step 7"):
        run(first)
    second = Context(tmp_path / "parts", epoch=2)
    assert run(second) == whole
    assert [step for step, _ in second.metrics] == list(range(8, 13))


def test_the_seed_decides_the_end(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    assert run(Context(one), seed=1) != run(Context(other), seed=2)


@pytest.mark.parametrize(("outcome", "error"), [("fail", JobFailed), ("raise", RuntimeError)])
def test_it_ends_badly_when_asked_to(tmp_path, outcome, error):
    with pytest.raises(error):
        run(Context(tmp_path), outcome=outcome)


@pytest.mark.parametrize("wrong", [{"steps": -1}, {"outcome": "explode"}, {"pickle": "x"}])
def test_wrong_parameters_are_named(wrong):
    with pytest.raises(InvalidInput) as caught:
        parse(job_kinds.get("self_test").Params, wrong)
    assert list(caught.value.errors) == list(wrong)
