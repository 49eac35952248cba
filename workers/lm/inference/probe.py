"""Proves at load time that a runner computes what the model computes, or picks another runner.

Architectures are not trusted by name: a few sequences go through the runner in chunks and
side by side, and every row of logits is compared with a plain forward pass of the model.
"""

from __future__ import annotations

import os

import torch
from transformers import PreTrainedModel

from .errors import ModelRefused, UnsupportedAttention
from .kv_cache import SlotCache
from .linears import called_layers, has_own_kernels, pack
from .loading import vocabulary_width
from .packed import PackedRunner
from .plan import Move, PrefillChunk, Runner, StepPlan
from .stepped import SteppedRunner

_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 6e-2, torch.float16: 2e-2}
#: Inputs of 8-bit layers are rounded: what differs in its last bit may differ by a whole step.
_ROUNDED = 3e-2
_LONGEST_WINDOW = 256
#: Of the device's memory that is free after loading; the rest is for what a step computes.
_CACHE_SHARE = 0.7


@torch.inference_mode()
def choose_runner(
    model: PreTrainedModel, *, context_length: int, max_slots: int, prefill_chunk: int
) -> tuple[Runner, str]:
    """The fastest runner that is right for this model, and a sentence on why it was chosen."""
    plain = model.config._attn_implementation
    probe = _probe_of(model, context_length)
    reasons = []
    try:
        packed = PackedRunner(
            model,
            context_length=context_length,
            max_slots=max_slots,
            prefill_chunk=prefill_chunk,
        )
        with called_layers(model) as called:
            probe.check(packed)
        pack(model, called)
        probe.check(packed)
        _bound(packed.cache)
        return packed, _repeated(packed, model, probe)
    except (MemoryError, torch.OutOfMemoryError):
        check_memory(None)
    except ModelRefused:
        raise
    except Exception as error:
        reasons.append(f"packed batching does not fit: {_sentence(error)}")
    model.set_attn_implementation(plain)
    for cached in (True, False):
        stepped = SteppedRunner(
            model, context_length=context_length, max_slots=max_slots, cached=cached
        )
        try:
            probe.check(stepped)
            return stepped, "; ".join(reasons)
        except Exception as error:
            reasons.append(f"{stepped.mode} decoding does not fit: {_sentence(error)}")
    raise ModelRefused("No way to run this model gives its own answers: " + "; ".join(reasons))


def _repeated(runner: PackedRunner, model: PreTrainedModel, probe: _Probe) -> str:
    """Have steps recorded where that gives the same; what there is to say of the runner."""
    said = "packed batching"
    if has_own_kernels(model):
        said += ", kernels of our own"
    runner.repeat_steps()
    if runner.repeated is None:
        return said
    probe.check_steps(runner)
    why = runner.repeated.why_not
    return f"{said}; steps are not recorded: {why}" if why else f"{said}, recorded steps"


def check_runner(
    runner: Runner, tokens: list[list[int]], expected: list[torch.Tensor], tolerance: float
) -> None:
    """Two texts, the shorter first, with all rows of logits that they ought to give.

    Raises `UnsupportedAttention` where any row differs by more than this share of its spread.
    """
    _Probe(tokens, expected, tolerance).check(runner)


def _probe_of(model: PreTrainedModel, context_length: int) -> _Probe:
    """Reference logits by plain forward passes, made before anything is switched."""
    vocabulary = vocabulary_width(model)
    length = min(_probe_length(model), max(2, context_length - 1))
    generator = torch.Generator().manual_seed(20)
    tokens = [
        torch.randint(0, vocabulary, (size,), generator=generator).tolist()
        for size in (max(2, min(7, length)), length)
    ]
    expected = [
        model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0].float()
        for ids in tokens
    ]
    tolerance = _TOLERANCE.get(model.dtype, 1e-3)
    if any(buffer.dtype == torch.int8 for buffer in model.buffers()):
        tolerance = _ROUNDED
    return _Probe(tokens, expected, tolerance)


class _Probe:
    """What two texts ought to give, and whether a runner gives it."""

    def __init__(
        self, tokens: list[list[int]], expected: list[torch.Tensor], tolerance: float
    ) -> None:
        self._tokens, self._expected, self._tolerance = tokens, expected, tolerance

    def check(self, runner: Runner) -> None:
        """Raise `UnsupportedAttention` where any row differs."""
        first, second = self._tokens
        lone = runner.max_slots == 1 or runner.prefill_chunk < len(first)
        if lone:
            self._check_alone(runner, first, self._expected[0])
            self._check_alone(runner, second, self._expected[1])
        else:
            self._check_together(runner, first, second)
        for slot in range(min(2, runner.max_slots)):
            runner.release(slot)

    def check_steps(self, runner: Runner) -> None:
        """One token after the other, from the first on: the third is what all later ones are."""
        for at, token in enumerate(self._tokens[0][:3]):
            rows = runner.forward(StepPlan([token], [at], []))
            self._compare(rows, self._expected[0][at : at + 1])
        runner.release(0)

    def _check_alone(self, runner: Runner, ids: list[int], expected: torch.Tensor) -> None:
        prompt = len(ids) - 1
        self._prefill(runner, ids[:prompt], expected, slot=0, beside=None)
        self._compare(runner.forward(StepPlan([ids[-1]], [prompt], [])), expected[-1:])

    def _check_together(self, runner: Runner, first: list[int], second: list[int]) -> None:
        """The short one decodes while the long one still reads its prompt, then both decode."""
        one, two = self._expected
        rows = runner.forward(StepPlan([], [], [PrefillChunk(0, 0, first[:1], True, True)]))
        self._compare(rows, one[:1])
        decoded = self._prefill(runner, second[:-1], two, slot=1, beside=(first, one))
        if decoded < len(first):
            plan = StepPlan([first[decoded], second[-1]], [decoded, len(second) - 1], [])
            rows = runner.forward(plan)
            self._compare(rows, torch.stack([one[decoded], two[-1]]))
        else:
            runner.release(0)
            runner.move(Move(1, 0, len(second) - 1))
            rows = runner.forward(StepPlan([second[-1]], [len(second) - 1], []))
            self._compare(rows, two[-1:])

    def _prefill(
        self,
        runner: Runner,
        prompt: list[int],
        expected: torch.Tensor,
        *,
        slot: int,
        beside: tuple[list[int], torch.Tensor] | None,
    ) -> int:
        """Feed the prompt in uneven chunks; returns how far the sequence beside has got."""
        size = min(runner.prefill_chunk, max(1, len(prompt) * 2 // 5))
        if runner.prefill_chunk >= runner.context_length:
            size = len(prompt)
        decoded, start = 1, 0
        while start < len(prompt):
            tokens = prompt[start : start + size]
            ids, positions, wanted = [], [], []
            if beside is not None and decoded < len(beside[0]):
                ids, positions = [beside[0][decoded]], [decoded]
                wanted = [beside[1][decoded : decoded + 1]]
                decoded += 1
            chunk = PrefillChunk(slot, start, tokens, start + len(tokens) == len(prompt), True)
            rows = runner.forward(StepPlan(ids, positions, [chunk]))
            wanted.append(expected[start : start + len(tokens)])
            self._compare(rows, torch.cat(wanted))
            start += len(tokens)
        return decoded

    def _compare(self, rows: torch.Tensor, expected: torch.Tensor) -> None:
        if rows.shape != expected.shape:
            raise UnsupportedAttention("the logits have another shape")
        distance = (rows - expected).norm(dim=-1)
        scale = (expected - expected.mean(dim=-1, keepdim=True)).norm(dim=-1).clamp_min(1e-6)
        worst = float((distance / scale).max())
        if not worst <= self._tolerance:
            raise UnsupportedAttention(f"its logits differ by {worst:.2g} of their spread")


def _bound(cache: SlotCache) -> None:
    """Refuse a cache that has no room; tell one that grows how far it may."""
    if not cache.grows:
        check_memory(cache.bytes)
        return
    free, _ = torch.cuda.mem_get_info(cache.device)
    cache.limit_bytes = (free + cache.bytes) * _CACHE_SHARE
    if not cache.has_room(1, cache.length):
        raise ModelRefused(
            f"The keys and values of {cache.length} tokens do not fit into "
            f"{cache.limit_bytes / 2**30:.1f} GiB of the device: ask for a shorter context."
        )


def check_memory(cache_bytes: int | None) -> None:
    """A cache that cannot be filled would end the process in the middle of answers."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if cache_bytes is None or cache_bytes > physical:
        size = "the memory" if cache_bytes is None else f"{cache_bytes / 2**30:.1f} GiB"
        raise ModelRefused(
            f"The key-value cache needs {size}, more than this machine has "
            f"({physical / 2**30:.1f} GiB): ask for fewer slots or a shorter context."
        )


def _probe_length(model: PreTrainedModel) -> int:
    """Long enough to leave a short sliding window, short enough to cost nothing."""
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None) or 0
    short = isinstance(window, int) and 0 < window <= _LONGEST_WINDOW
    return window + 9 if short else 24


def _sentence(error: Exception) -> str:
    if isinstance(error, UnsupportedAttention):
        return str(error)
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
