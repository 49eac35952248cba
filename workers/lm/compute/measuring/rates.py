"""Rates of one device: products, attention, streams, loss, optimiser, calls."""

from collections.abc import Callable

import torch
from torch.nn import functional

from workers.lm.compute.flops import OPERATORS_GATED, OPERATORS_PLAIN, OPTIMIZER_BYTES
from workers.lm.compute.measuring.bench import Bench, rounded
from workers.lm.compute.measuring.models import small_model

WIDTHS = (64, 128, 256, 512, 1024)
ROWS = 1024
#: Sizes at which attention is measured: length and width of a head.
ATTENTION = ((64, 32), (256, 32), (512, 64))
ELEMENTS = 1 << 21
LARGE = 1 << 23


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


def _products(bench: Bench, dtype: torch.dtype) -> dict[str, float]:
    """GFLOP/s of the three products of a training: forward, and both gradients.

    ROWS rows times a matrix of width x 4 width, into new memory each time, as a training does.
    """
    found = {}
    for width in WIDTHS:
        rows = bench.random(ROWS, width, dtype=dtype)
        matrix = bench.random(4 * width, width, dtype=dtype)
        onward = bench.random(ROWS, 4 * width, dtype=dtype)

        def three(
            rows: torch.Tensor = rows, matrix: torch.Tensor = matrix, onward: torch.Tensor = onward
        ) -> None:
            _ = (rows @ matrix.T, onward @ matrix, onward.T @ rows)

        found[str(width)] = rounded(3 * 2 * ROWS * width * 4 * width / bench.seconds(three) / 1e9)
    return found


def _attention(bench: Bench, length: int, width: int) -> float:
    """GFLOP/s of causal attention forward and backward, counted as the whole square."""
    heads = 4
    many = max(1, 512 // length)
    parts = [bench.random(many, heads, length, width).requires_grad_() for _ in range(3)]

    def both() -> None:
        query, key, value = parts
        out = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        torch.autograd.grad(out, parts, torch.ones_like(out))

    return rounded(12 * many * heads * width * length**2 / bench.seconds(both) / 1e9)


def _stream(bench: Bench, elements: int) -> float:
    """GB/s read and written by adding two tensors into new memory."""
    one, two = bench.random(elements), bench.random(elements)
    return rounded(12 * elements / bench.seconds(lambda: one + two) / 1e9)


def _through(bench: Bench, function: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Millions of elements a second through an activation function, forward and backward."""
    given = bench.random(ELEMENTS).requires_grad_()
    ones = torch.ones_like(given)
    return rounded(
        ELEMENTS / bench.seconds(lambda: torch.autograd.grad(function(given), given, ones)) / 1e6
    )


def _loss(bench: Bench) -> float:
    """Millions of scores a second through the loss, forward and backward."""
    rows, vocabulary = 2048, 4096
    scores = bench.random(rows, vocabulary).requires_grad_()
    targets = torch.randint(vocabulary, (rows,), device=bench.device)
    taken = bench.seconds(lambda: functional.cross_entropy(scores, targets).backward())  # type: ignore[no-untyped-call]
    return rounded(rows * vocabulary / taken / 1e6)


def _optimizer(bench: Bench) -> float:
    """GB/s that clipping and fused AdamW move, counted as in `flops.OPTIMIZER_BYTES`."""
    weights = [bench.random(LARGE // 4).requires_grad_() for _ in range(2)]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer = torch.optim.AdamW(weights, lr=1e-6, fused=True)

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()

    return rounded(OPTIMIZER_BYTES * 2 * (LARGE // 4) / bench.seconds(step) / 1e9)


def _operator(bench: Bench) -> float:
    """Microseconds of an operator on next to nothing, with the layers of models around it.

    From real models so small that they do nothing but call: what two more layers take.
    """
    tokens = torch.zeros(1, 4, dtype=torch.long, device=bench.device)
    small = {"vocab_size": 8, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8}

    def seconds(layers: int) -> float:
        models = [
            small_model("gpt2", bench.device, vocab_size=8, n_embd=8, n_head=1, n_layer=layers),
            small_model("llama", bench.device, num_hidden_layers=layers, **small),
        ]

        def both() -> None:
            for model in models:
                model(input_ids=tokens, use_cache=False).logits.sum().backward()

        return bench.seconds(both)

    return rounded(1e6 * (seconds(4) - seconds(2)) / (2 * (OPERATORS_PLAIN + OPERATORS_GATED)))
