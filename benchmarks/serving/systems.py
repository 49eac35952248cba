"""What is compared: each takes requests one by one and computes step by step.

`step` returns (request, time) of every token that its reader has got in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import AutoModelForCausalLM
from transformers.generation.streamers import BaseStreamer

Told = list[tuple[int, float]]
SLOTS = 16


class System(Protocol):
    """A way to serve the model."""

    def add(self, number: int, prompt: list[int], tokens: int) -> None:
        """A request arrives."""

    def step(self) -> Told:
        """Compute something; may wait a moment where the work is done on another thread."""


class NoText:
    """The text side without a tokenizer: this is about the model."""

    def decode(self, ids: list[int]) -> str:
        return "x" * len(ids)

    def piece(self, token_id: int) -> bytes:
        return b"x"


class Own:
    """The product's engine over one of its runners."""

    def __init__(self, runner: Any) -> None:
        from workers.lm.inference.engine import Engine

        self.engine = Engine(runner, NoText(), ())
        self._told: Told = []

    def add(self, number: int, prompt: list[int], tokens: int) -> None:
        from workers.lm.inference.ask import Ask
        from workers.lm.inference.params import SamplingParams

        params = SamplingParams(max_tokens=tokens, temperature=0, ignore_eos=True)
        self.engine.submit(
            [Ask(prompt, params)],
            lambda event: self._told.extend((number, time.perf_counter()) for _ in event.token_ids),
        )

    def step(self) -> Told:
        self.engine.step()
        told, self._told = self._told, []
        return told


def own(folder: Path, context: int, dtype: str) -> Own:
    """fp32, bf16 or int8."""
    from workers.lm.inference.loading import load
    from workers.lm.inference.probe import choose_runner

    place = folder / ("int8" if dtype == "int8" else "fp32")
    loaded = _load(place, "bf16" if dtype == "bf16" else "fp32", load)
    runner, why = choose_runner(loaded, context_length=context, max_slots=SLOTS, prefill_chunk=256)
    if runner.mode != "packed":
        raise SystemExit(f"the engine did not pack: {why}")
    return Own(runner)


def _load(place: Path, dtype: str, load: Callable[..., Any]) -> Any:
    """Without the tokenizer, which this model does not have."""
    from workers.lm.int8 import load_int8

    if place.name == "int8":
        return load_int8(place)
    found = AutoModelForCausalLM.from_pretrained(
        place, dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    ).eval()
    found.requires_grad_(False)
    return found


def own_openvino(folder: Path, context: int, hint: str) -> Own:
    """The engine over OpenVINO's kernels."""
    import openvino

    from workers.lm.inference.openvino_runner import OpenVinoRunner, settings

    graph = openvino.Core().read_model(folder / "openvino-int8" / "openvino_model.xml")
    runner = OpenVinoRunner(
        graph, settings(1, hint), context_length=context, max_slots=SLOTS, prefill_chunk=256
    )
    return Own(runner)


class GenAi:
    """OpenVINO GenAI's own continuous batching, as it is."""

    def __init__(self, folder: Path, context: int, hint: str) -> None:
        import openvino_genai as genai

        self._genai = genai
        plan = genai.SchedulerConfig()
        plan.cache_size, plan.max_num_seqs = 1, SLOTS
        plan.max_num_batched_tokens, plan.enable_prefix_caching = 256, False
        self._pipe = genai.ContinuousBatchingPipeline(
            str(folder / "openvino-int8"), plan, "CPU",
            {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": hint},
        )  # fmt: skip
        self._open: dict[int, Any] = {}
        self._next = 0

    def add(self, number: int, prompt: list[int], tokens: int) -> None:
        import numpy
        import openvino

        wanted = self._genai.GenerationConfig()
        wanted.max_new_tokens, wanted.ignore_eos, wanted.do_sample = tokens, True, False
        ids = openvino.Tensor(numpy.array([prompt], dtype=numpy.int64))
        self._next += 1
        self._open[number] = self._pipe.add_request(self._next, ids, wanted)

    def step(self) -> Told:
        self._pipe.step()
        told = []
        for number, handle in list(self._open.items()):
            while handle.can_read():
                for output in handle.read().values():
                    told += [(number, time.perf_counter())] * len(output.generated_ids)
            if handle.get_status() != self._genai.GenerationStatus.RUNNING:
                del self._open[number]
        return told


class _Clock(BaseStreamer):
    """Notes when `generate` hands out each new token; the prompt comes first."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        pass


class OneByOne:
    """transformers' `generate`, one request after another."""

    most = 1

    def __init__(self, folder: Path) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder / "fp32").eval()
        self._line: list[tuple[int, list[int], int]] = []

    def add(self, number: int, prompt: list[int], tokens: int) -> None:
        self._line.append((number, prompt, tokens))

    @torch.inference_mode()
    def step(self) -> Told:
        batch, self._line = self._line[: self.most], self._line[self.most :]
        widest = max(len(prompt) for _, prompt, _ in batch)
        ids = torch.tensor([[0] * (widest - len(prompt)) + prompt for _, prompt, _ in batch])
        mask = torch.tensor([[0] * (widest - len(p)) + [1] * len(p) for _, p, _ in batch])
        longest = max(tokens for _, _, tokens in batch)
        clock = _Clock() if len(batch) == 1 else None
        self.model.generate(
            ids, attention_mask=mask, do_sample=False, max_new_tokens=longest,
            min_new_tokens=longest, eos_token_id=None, pad_token_id=0, streamer=clock,
        )  # fmt: skip
        if clock is not None:
            return [(batch[0][0], at) for at in clock.times[1:]]
        now = time.perf_counter()
        return [(number, now) for number, _, tokens in batch for _ in range(tokens)]


class Static(OneByOne):
    """One padded batch of whoever waits; its callers get their tokens when it is done."""

    most = SLOTS


class Continuous:
    """transformers' continuous batching, with settings that fit this machine."""

    def __init__(self, folder: Path, context: int) -> None:
        import queue

        from transformers import ContinuousBatchingConfig, GenerationConfig

        self._empty = queue.Empty
        self.model = AutoModelForCausalLM.from_pretrained(
            folder / "fp32", attn_implementation="paged|sdpa"
        ).eval()
        # An id that no token has: nothing ends before its length.
        wanted = GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0)
        room = ContinuousBatchingConfig(
            page_size=32, num_blocks=SLOTS * (context // 32 + 2), max_batch_tokens=512,
            use_cuda_graph=False, auto_switch_to_flash=False, use_async_batching=False,
            max_requests_per_batch=SLOTS,
        )  # fmt: skip
        self._manager = self.model.init_continuous_batching(
            generation_config=wanted, continuous_batching_config=room
        )
        self._manager.start()
        self._seen: dict[str, int] = {}
        self._next = 0

    def add(self, number: int, prompt: list[int], tokens: int) -> None:
        self._next += 1
        name = f"{number}-{self._next}"
        self._seen[name] = 0
        self._manager.add_request(prompt, request_id=name, max_new_tokens=tokens, streaming=True)

    def step(self) -> Told:
        found = self._manager.get_result(timeout=60)
        if found is None:
            raise SystemExit("transformers' continuous batching stopped")
        new = len(found.generated_tokens) - self._seen[found.request_id]
        self._seen[found.request_id] += new
        return [(int(found.request_id.partition("-")[0]), time.perf_counter())] * new

    def close(self) -> None:
        self._manager.stop(block=True)


def make(name: str, folder: Path, context: int) -> System:
    """A system by the name that its rows carry."""
    makers: dict[str, Callable[[], Any]] = {
        "own-fp32": lambda: own(folder, context, "fp32"),
        "own-bf16": lambda: own(folder, context, "bf16"),
        "own-int8": lambda: own(folder, context, "int8"),
        "own-openvino-int8": lambda: own_openvino(folder, context, "f32"),
        "own-openvino-int8-bf16": lambda: own_openvino(folder, context, "bf16"),
        "generate": lambda: OneByOne(folder),
        "static-batches": lambda: Static(folder),
        "continuous-batching": lambda: Continuous(folder, context),
        "genai-int8": lambda: GenAi(folder, context, "f32"),
        "genai-int8-bf16": lambda: GenAi(folder, context, "bf16"),
    }
    made: System = makers[name]()
    return made
