"""What number formats and compiling bring to real, small models."""

import time
from collections.abc import Callable

import torch

from workers.lm.compute.measuring.bench import Bench, rounded
from workers.lm.compute.measuring.models import small_model
from workers.lm.training.losses import batch_loss

#: Models in which number formats and compiling are tried.
WIDTHS, LAYERS = (128, 512), 2


def bf16_gains(bench: Bench) -> dict[str, float]:
    """How many times faster a small model trains in bf16 than in fp32, by its width."""
    return {
        str(width): rounded(
            bench.seconds(_training(bench, width, "fp32"))
            / bench.seconds(_training(bench, width, "bf16"))
        )
        for width in WIDTHS
    }


def compile_gain(bench: Bench) -> dict[str, object]:
    """What compiling a model takes and brings, or why it cannot be done here."""
    width = WIDTHS[-1]
    before = bench.seconds(_training(bench, width, "fp32"))
    begun = time.perf_counter()
    try:
        action = _training(bench, width, "fp32", compiled=True)
        action()
        taken = time.perf_counter() - begun
        gain = before / bench.seconds(action)
    except Exception as error:  # no compiler, or one that cannot: told, and then it does not pay
        return {"error": f"{type(error).__name__}: {error}"[:300]}
    return {"seconds": rounded(taken), "layers": LAYERS, "gain": rounded(gain)}


def _training(
    bench: Bench, width: int, precision: str, compiled: bool = False
) -> Callable[[], object]:
    """A step without its optimiser of a model of LAYERS layers."""
    model = small_model(
        "llama",
        bench.device,
        vocab_size=1024,
        hidden_size=width,
        num_attention_heads=max(1, width // 64),
        intermediate_size=4 * width,
        num_hidden_layers=LAYERS,
    )
    if compiled:
        model.compile()
    tokens = torch.randint(1024, (4, 128), device=bench.device)

    def step() -> None:
        batch_loss(model, (tokens, tokens), precision).backward()  # type: ignore[no-untyped-call]
        model.zero_grad(set_to_none=True)

    return step
