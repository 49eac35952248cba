"""Measure how fast this machine computes; run as a process of its own, for it imports torch.

    python -m workers.lm.compute.measuring [--cores N] [--compile]

Prints one JSON document, see `speed.py`. Every figure is the best of several tries: what the
machine can do undisturbed. By one thread time is that of the processor, which other work on the
machine hardly moves; by several, and on a GPU, it is that of the wall.
"""

import argparse
import json
import time
from collections.abc import Callable

IMPORTED_AT = time.perf_counter()
import torch  # noqa: E402  (how long this takes is one of the figures)
import transformers  # noqa: E402, F401
from torch.nn import functional  # noqa: E402

IMPORT_S = time.perf_counter() - IMPORTED_AT
WIDTHS = (64, 128, 256, 512, 1024)
ROWS = 1024
#: Sizes at which attention is measured: length and width of a head.
ATTENTION = ((64, 32), (256, 32), (512, 64))
ELEMENTS = 1 << 21
LARGE = 1 << 23
TRIES, LEAST_S = 4, 0.02


class Bench:
    """Runs an action often enough to be timed and keeps the best try."""

    def __init__(self, device: torch.device, threads: int) -> None:
        self.device = device
        alone = device.type == "cpu" and threads == 1
        self._clock = time.process_time if alone else time.perf_counter

    def seconds(self, action: Callable[[], object]) -> float:
        """Seconds of one call, at best."""
        action()
        times = 1
        while (taken := self._run(action, times)) < LEAST_S:
            times *= 2 if taken > LEAST_S / 4 else 4
        return min(taken, *(self._run(action, times) for _ in range(TRIES))) / times

    def _run(self, action: Callable[[], object], times: int) -> float:
        begun = self._clock()
        for _ in range(times):
            action()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self._clock() - begun


def rates(device: torch.device, threads: int) -> dict[str, object]:
    """How fast one device is; on the processor with so many threads."""
    bench = Bench(device, threads)
    return {
        "products_gflops": _products(bench, torch.float32),
        "products_bf16_gflops": _products(bench, torch.bfloat16),
        "attention_gflops": {
            f"{length}x{width}": _attention(bench, length, width) for length, width in ATTENTION
        },
        "stream_gbps": _stream(bench, ELEMENTS),
        "memory_gbps": _stream(bench, LARGE),
        "activation_meps": _through(bench, lambda x: functional.gelu(x, approximate="tanh")),
        "loss_meps": _loss(bench),
        "optimizer_gbps": _optimizer(bench),
        "operator_us": _operator(bench),
    }


def _random(bench: Bench, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, device=bench.device).to(dtype)


def _products(bench: Bench, dtype: torch.dtype) -> dict[str, float]:
    """GFLOP/s of the three products of a training: forward, and both gradients.

    ROWS rows times a matrix of width x 4 width, into new memory each time, as a training does.
    """
    found = {}
    for width in WIDTHS:
        rows = _random(bench, ROWS, width, dtype=dtype)
        matrix = _random(bench, 4 * width, width, dtype=dtype)
        onward = _random(bench, ROWS, 4 * width, dtype=dtype)

        def three(
            rows: torch.Tensor = rows, matrix: torch.Tensor = matrix, onward: torch.Tensor = onward
        ) -> None:
            _ = (rows @ matrix.T, onward @ matrix, onward.T @ rows)

        found[str(width)] = _rounded(3 * 2 * ROWS * width * 4 * width / bench.seconds(three) / 1e9)
    return found


def _attention(bench: Bench, length: int, width: int) -> float:
    """GFLOP/s of causal attention forward and backward, counted as the whole square."""
    heads = 4
    many = max(1, 512 // length)
    parts = [_random(bench, many, heads, length, width).requires_grad_() for _ in range(3)]

    def both() -> None:
        out = functional.scaled_dot_product_attention(*parts, is_causal=True)
        out.backward(torch.ones_like(out))

    return _rounded(12 * many * heads * width * length**2 / bench.seconds(both) / 1e9)


def _stream(bench: Bench, elements: int) -> float:
    """GB/s read and written by adding two tensors into new memory."""
    one, two = _random(bench, elements), _random(bench, elements)
    return _rounded(12 * elements / bench.seconds(lambda: one + two) / 1e9)


def _through(bench: Bench, function: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Millions of elements a second through an activation function, forward and backward."""
    given = _random(bench, ELEMENTS).requires_grad_()
    ones = torch.ones_like(given)
    return _rounded(ELEMENTS / bench.seconds(lambda: function(given).backward(ones)) / 1e6)


def _loss(bench: Bench) -> float:
    """Millions of scores a second through the loss, forward and backward."""
    rows, vocabulary = 2048, 4096
    scores = _random(bench, rows, vocabulary).requires_grad_()
    targets = torch.randint(vocabulary, (rows,), device=bench.device)
    taken = bench.seconds(lambda: functional.cross_entropy(scores, targets).backward())  # type: ignore[no-untyped-call]
    return _rounded(rows * vocabulary / taken / 1e6)


def _optimizer(bench: Bench) -> float:
    """GB/s that clipping and fused AdamW move, counted as in `flops.OPTIMIZER_BYTES`."""
    from workers.lm.compute.flops import OPTIMIZER_BYTES

    weights = [_random(bench, LARGE // 4).requires_grad_() for _ in range(2)]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer = torch.optim.AdamW(weights, lr=1e-6, fused=True)

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()

    return _rounded(OPTIMIZER_BYTES * 2 * (LARGE // 4) / bench.seconds(step) / 1e9)


def _operator(bench: Bench) -> float:
    """Microseconds of an operator on next to nothing, with the layers of models around it.

    From real models so small that they do nothing but call: what two more layers take.
    """
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    from workers.lm.compute.flops import OPERATORS_GATED, OPERATORS_PLAIN

    tokens = torch.zeros(1, 4, dtype=torch.long, device=bench.device)
    small = {"vocab_size": 8, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8}
    ends = {"bos_token_id": 0, "eos_token_id": 0}

    def seconds(layers: int) -> float:
        plain = GPT2LMHeadModel(GPT2Config(**ends, vocab_size=8, n_embd=8, n_head=1, n_layer=layers))
        gated = LlamaForCausalLM(LlamaConfig(**small, **ends, num_hidden_layers=layers))
        models = [model.to(bench.device).train() for model in (plain, gated)]

        def both() -> None:
            for model in models:
                model(input_ids=tokens, use_cache=False).logits.sum().backward()

        return bench.seconds(both)

    return _rounded(1e6 * (seconds(4) - seconds(2)) / (2 * (OPERATORS_PLAIN + OPERATORS_GATED)))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure how fast this machine computes.")
    parser.add_argument("--cores", type=int, default=1)
    options = parser.parse_args()
    cpu = torch.device("cpu")
    found: dict[str, object] = {"import_s": _rounded(IMPORT_S), "threads": {}}
    for threads in sorted({1, options.cores}):
        torch.set_num_threads(threads)
        found["threads"][str(threads)] = rates(cpu, threads)  # type: ignore[index]
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
