"""OpenVINO as a runner: its own answers, alone and in company. Needs the extra `openvino`."""

import pytest
import torch

pytest.importorskip("openvino")

from tests.workers.lm.inference import tiny
from tests.workers.lm.recording import Recorder
from workers.lm.formats import FORMATS
from workers.lm.formats.convert import Work, convert
from workers.lm.inference import openvino_runner
from workers.lm.inference.ask import Ask
from workers.lm.inference.errors import ModelRefused
from workers.lm.inference.openvino_runner import OpenVinoRunner
from workers.lm.inference.params import SamplingParams
from workers.lm.inference.preparing import prepare
from workers.lm.inference.server import ServeOptions

LENGTHS = (3, 40, 9, 70)


def converted(source, out, precision):
    gate = vars(FORMATS["openvino"].precision(precision).gate)
    work = Work(format="openvino", precision=precision, source=source, out=out, limits=gate)
    return convert(work, Recorder())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The model as it was trained, and the same for OpenVINO."""
    top = tmp_path_factory.mktemp("openvino")
    source = tiny.save(top / "source", chat_template=None)
    report = converted(source, top / "fp32", "fp32")
    assert report["passed"], report["checks"]
    return source, top / "fp32"


def opened(folder, **options):
    wanted = {"backend": "openvino", "max_slots": 3, "prefill_chunk": 16, **options}
    return prepare(
        ServeOptions(model_dir=folder, name="acme/m", secret="s", **wanted), lambda line: None
    )


@pytest.fixture(scope="module")
def served(folders):
    return opened(folders[1])


def answers(engine, prompts, most=20, **params):
    """Token ids of greedy answers; all prompts arrive at once."""
    found = [[] for _ in prompts]
    wanted = SamplingParams(max_tokens=most, temperature=0, ignore_eos=True, **params)
    for number, prompt in enumerate(prompts):
        engine.submit(
            [Ask(prompt, wanted)], lambda event, n=number: found[n].extend(event.token_ids)
        )
    while engine.live:
        engine.step()
    return found


def prompts():
    generator = torch.Generator().manual_seed(7)
    return [torch.randint(2, 300, (size,), generator=generator).tolist() for size in LENGTHS]


def test_answers_do_not_depend_on_company(served):
    together = answers(served.engine, prompts())

    assert isinstance(served.engine.runner, OpenVinoRunner)
    assert together == [answers(served.engine, [prompt])[0] for prompt in prompts()]


def test_with_exact_keys_and_values_its_answers_are_those_of_the_source(folders, monkeypatch):
    kept = openvino_runner.settings
    exact = {"KV_CACHE_PRECISION": "f32"}
    monkeypatch.setattr(openvino_runner, "settings", lambda *args: kept(*args) | exact)
    source = opened(folders[0], backend="slipway").engine

    assert answers(opened(folders[1]).engine, prompts()) == answers(source, prompts())


def test_a_prompt_that_was_seen_is_read_from_spare_pages(served):
    prompt = prompts()[3]
    first = answers(served.engine, [prompt])[0]
    tickets = served.engine.submit(
        [Ask(prompt, SamplingParams(max_tokens=20, temperature=0, ignore_eos=True))],
        lambda event: again.extend(event.token_ids),
    )
    again: list[int] = []
    while served.engine.live:
        served.engine.step()

    assert tickets[0].cached_tokens == 64
    assert again == first


def test_choices_of_one_prompt_go_their_own_ways_from_its_pages(served):
    found = {}
    wanted = SamplingParams(max_tokens=12, temperature=1.5, seed=5, ignore_eos=True)
    served.engine.submit(
        [Ask(prompts()[1], wanted)],
        lambda event: found.setdefault(event.choice, []).extend(event.token_ids),
        choices=3,
    )
    while served.engine.live:
        served.engine.step()

    assert len({tuple(row) for row in found.values()}) == 3
    assert all(len(row) == 12 for row in found.values())


def test_every_option_of_a_request_works(served):
    """The sampler is ours: a bias decides, log-probabilities come, guesses do not change it."""
    biased = answers(served.engine, [[5, 6, 7]], most=3, logit_bias={42: 100.0})

    assert biased == [[42, 42, 42]]


def test_8_bit_weights_are_a_conversion_with_a_report(folders, tmp_path):
    report = converted(folders[0], tmp_path / "int8", "int8")

    assert report["passed"], report["checks"]
    assert report["size"]["output"] < 0.6 * report["size"]["fp32"] + 400_000
    assert answers(opened(tmp_path / "int8").engine, [[5, 6, 7]], most=2)


def test_what_it_cannot_serve_is_refused_with_a_reason(folders, tmp_path, monkeypatch):
    with pytest.raises(ModelRefused, match="format openvino"):
        opened(folders[0])
    with pytest.raises(ModelRefused, match="fp32 and bf16"):
        opened(folders[1], dtype="fp16")
    monkeypatch.setattr("workers.lm.inference.openvino_runner.has_package", lambda name: False)
    with pytest.raises(ModelRefused, match=r"requirements/openvino\.txt"):
        opened(folders[1])
