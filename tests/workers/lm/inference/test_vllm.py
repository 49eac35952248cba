"""vLLM behind our interface, with an engine in its place that has the same signatures."""

import dataclasses
import itertools
import sys
import time
import types

import pytest

from tests.workers.lm.inference import tiny
from workers.lm.inference.ask import Ask
from workers.lm.inference.errors import (
    BadRequest,
    DeadlinePassed,
    Draining,
    GenerationFailed,
    ModelRefused,
    QueueFull,
)
from workers.lm.inference.events import Delta, Ended
from workers.lm.inference.params import SamplingParams
from workers.lm.inference.preparing import prepare
from workers.lm.inference.server import ServeOptions

ARGUMENTS = [
    "model",
    "skip_tokenizer_init",
    "trust_remote_code",
    "load_format",
    "dtype",
    "max_model_len",
    "max_num_seqs",
    "enable_prefix_caching",
    "generation_config",
    "disable_log_stats",
    "seed",
]


@dataclasses.dataclass
class VllmParams:
    """Fields of vllm.SamplingParams 0.30 that are used; anything else is a TypeError."""

    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    logprobs: int | None = None
    detokenize: bool = True
    output_kind: str = "cumulative"
    logit_bias: dict[int, float] | None = None


class FakeEngine:
    """Answers with the prompt's last token + 1, + 2, …; one token of each request a step."""

    def __init__(self, arguments=None):
        self.arguments = arguments
        self.requests, self.aborted, self.fail, self.seen = {}, [], None, []

    @classmethod
    def from_engine_args(cls, engine_args):
        return cls(engine_args)

    def add_request(self, request_id, prompt, params):
        assert isinstance(request_id, str)
        if params.logit_bias and min(params.logit_bias.values()) < -90:
            raise ValueError("logit_bias is out of range")
        self.seen.append((prompt, params))
        ids = prompt["prompt_token_ids"]
        self.requests[request_id] = [params, itertools.count(ids[-1] + 1), 0]
        return request_id

    def abort_request(self, request_ids, internal=False):
        for name in request_ids:
            self.aborted.append(name)
            self.requests.pop(name, None)

    def step(self):
        if self.fail:
            raise self.fail
        found = []
        for name, row in list(self.requests.items()):
            params, tokens, _ = row
            token, row[2] = next(tokens) % 256, row[2] + 1
            stop = token in (params.stop_token_ids or ())
            finished = stop or row[2] >= params.max_tokens
            if finished:
                del self.requests[name]
            logs = None
            if params.logprobs is not None:
                logs = [{token: Log(-0.5), token + 1: Log(-1.5)}]
            answer = types.SimpleNamespace(
                token_ids=[token], logprobs=logs,
                finish_reason=("stop" if stop else "length") if finished else None,
            )  # fmt: skip
            found.append(
                types.SimpleNamespace(
                    request_id=name, outputs=[answer], finished=finished, num_cached_tokens=0
                )
            )
        return found


@dataclasses.dataclass
class Log:
    logprob: float


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("vllm"), vocab_size=301)


@pytest.fixture
def backend(folder, monkeypatch):
    """The backend as a server on a GPU host would make it."""
    module = types.ModuleType("vllm")
    arguments = dataclasses.make_dataclass("EngineArgs", ARGUMENTS)
    module.EngineArgs, module.LLMEngine, module.SamplingParams = arguments, FakeEngine, VllmParams
    kinds = types.ModuleType("vllm.sampling_params")
    kinds.RequestOutputKind = types.SimpleNamespace(DELTA="delta")
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", kinds)
    monkeypatch.setattr("workers.lm.inference.vllm_backend.has_package", lambda name: True)
    return prepare(options(folder), lambda line: None).engine


def options(folder, **changes):
    wanted = {"backend": "vllm", "device": "cuda", "max_slots": 2, "max_waiting": 2, **changes}
    return ServeOptions(model_dir=folder, name="acme/m", secret="s", **wanted)


class Heard:
    def __init__(self):
        self.events = []

    def __call__(self, event):
        self.events.append(event)

    @property
    def tokens(self):
        rows = [event.token_ids for event in self.events if isinstance(event, Delta)]
        return [token for row in rows for token in row]


def ask(backend, prompt=(5,), *, prior=(), more=None, **params):
    heard = Heard()
    params = SamplingParams(**{"max_tokens": 4, "temperature": 0, **params})
    tickets = backend.submit([Ask(list(prompt), params, prior=prior, **(more or {}))], heard)
    return heard, tickets


def finish(backend):
    while backend.live:
        backend.step()


def test_it_is_made_with_the_servers_settings_and_proves_itself(backend):
    told = backend._core.arguments

    assert (told.max_num_seqs, told.dtype, told.max_model_len) == (2, "float32", tiny.CONTEXT)
    assert not told.trust_remote_code and told.load_format == "safetensors"
    assert backend.prove() == 1
    assert backend.vocab_size == 301


def test_token_by_token_until_the_limit(backend):
    heard, (ticket,) = ask(backend)
    finish(backend)

    assert heard.tokens == [6, 7, 8, 9]
    assert [event.finish for event in heard.events] == [None, None, None, "length"]
    assert ticket.queue_ms is not None and ticket.prefill_ms is not None
    assert backend.stats().completed == 1


def test_stop_strings_are_found_by_us_and_end_the_request_there(backend):
    letters = backend.decoder.decode([7])
    heard, _ = ask(backend, stop=(letters,), max_tokens=50)
    finish(backend)

    assert heard.events[-1].finish == "stop" and heard.tokens[-1] == 7
    assert backend._core.aborted and not backend._core.requests


def test_the_end_token_ends_unless_it_is_to_be_ignored(backend):
    heard, _ = ask(backend, prompt=[254], max_tokens=6)
    ignoring, _ = ask(backend, prompt=[254], max_tokens=6, ignore_eos=True)
    finish(backend)

    assert heard.tokens == [255, tiny.EOS] and heard.events[-1].finish == "stop"
    assert ignoring.tokens == [255, 0, 1, 2, 3, 4]


def test_parameters_arrive_under_vllms_names(backend):
    ask(
        backend, temperature=0.7, top_p=0.9, top_k=5, min_p=0.1, presence_penalty=0.5,
        frequency_penalty=0.25, repetition_penalty=1.1, seed=3, logit_bias={7: 2.0},
        top_logprobs=2, more={"tenant": "4"},
    )  # fmt: skip
    finish(backend)
    prompt, params = backend._core.seen[-1]

    assert prompt == {"prompt_token_ids": [5], "cache_salt": "4"}
    assert (params.temperature, params.top_p, params.top_k, params.min_p) == (0.7, 0.9, 5, 0.1)
    assert (params.presence_penalty, params.frequency_penalty) == (0.5, 0.25)
    assert (params.repetition_penalty, params.logit_bias, params.logprobs) == (1.1, {7: 2.0}, 2)
    assert params.output_kind == "delta" and params.detokenize is False
    assert isinstance(params.seed, int)


def test_choices_have_seeds_of_their_own_that_do_not_change(backend):
    wanted = SamplingParams(max_tokens=1, seed=3)
    for _ in range(2):
        backend.submit([Ask([5], wanted)], Heard(), choices=2)
        finish(backend)
    seeds = [params.seed for _, params in backend._core.seen]

    assert seeds[:2] == seeds[2:] and seeds[0] != seeds[1]


def test_log_probabilities(backend):
    heard, _ = ask(backend, top_logprobs=2, max_tokens=1)
    finish(backend)
    (score,) = heard.events[-1].scores

    assert (score.token_id, score.logprob) == (6, -0.5)
    assert score.top == ((6, -0.5), (7, -1.5))


def test_an_answer_goes_on_where_its_reader_is(backend):
    heard, _ = ask(backend, prior=(6, 7))
    finish(backend)

    assert heard.tokens == [8, 9] and heard.events[-1].completion_tokens == 4
    assert backend._core.seen[-1][0]["prompt_token_ids"] == [5, 6, 7]


def test_what_would_be_lost_is_refused_by_name(backend):
    for field, given in (
        ("echo", {"score_prompt": True, "top_logprobs": 0}),
        ("response_format", {"grammar": object()}),
        ("presence_penalty", {"prior": (6,), "presence_penalty": 1.0}),
        ("model", {"more": {"adapter": "poet"}}),
    ):
        with pytest.raises(BadRequest) as refused:
            ask(backend, **given)
        assert refused.value.param == field
    assert backend.live == 0


def test_what_vllm_refuses_concerns_that_request_alone(backend):
    wrong, _ = ask(backend, logit_bias={7: -100.0})
    right, _ = ask(backend)
    finish(backend)

    assert isinstance(wrong.events[-1], Ended) and isinstance(wrong.events[-1].error, BadRequest)
    assert right.tokens == [6, 7, 8, 9]


def test_more_than_fits_waits_and_more_than_may_wait_is_refused(backend):
    rows = [ask(backend)[0] for _ in range(4)]
    backend.step()

    assert (backend.stats().running, backend.stats().waiting) == (2, 2)
    with pytest.raises(QueueFull):
        ask(backend)
    finish(backend)
    assert all(row.tokens == [6, 7, 8, 9] for row in rows)


def test_cancelled_late_and_stopped_ones_get_their_last_event(backend):
    long, (ticket,) = ask(backend, max_tokens=60)
    late, _ = ask(backend, more={"deadline": time.monotonic() - 1})
    backend.step()
    backend.cancel([ticket])
    backend.step()

    assert isinstance(late.events[-1].error, DeadlinePassed)
    assert long.events[-1] == Ended(0, 1, True, None)
    assert backend._core.aborted
    left, _ = ask(backend, max_tokens=60)
    backend.drain()
    with pytest.raises(Draining):
        ask(backend)
    backend.stop()
    backend.run()
    assert left.events[-1].error.code == "server_stopped"
    assert backend.live == 0


def test_an_engine_that_fails_fails_its_requests_and_serves_no_more(backend):
    heard, _ = ask(backend)
    backend._core.fail = RuntimeError("CUDA error")
    backend.run()

    assert isinstance(heard.events[-1].error, GenerationFailed)
    assert backend.state == "failed" and "CUDA error" in backend.broken


def test_without_the_package_or_a_gpu_it_says_so(folder, monkeypatch):
    with pytest.raises(ModelRefused, match="does not have vLLM"):
        prepare(options(folder), lambda line: None)
    monkeypatch.setattr("workers.lm.inference.vllm_backend.has_package", lambda name: True)
    with pytest.raises(ModelRefused, match="needs a GPU"):
        prepare(options(folder, device="cpu"), lambda line: None)
