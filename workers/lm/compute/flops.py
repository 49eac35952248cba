"""How much a training computes: FLOPs, bytes and operators of one step; plain Python, no torch.

A matrix of m x n weights takes 2mn floating point operations for each token forward and twice as
many backward, one share for the gradient of its input and one for its own: 6 for each weight
(Kaplan et al. 2020, arXiv:2001.08361, table 1). Attention takes 12·L·H·Q·T more for each token,
with L layers, H heads of width Q and T tokens (Chowdhery et al. 2022, arXiv:2204.02311, appendix
B). The rest does little arithmetic and takes time all the same: elementwise operators move bytes,
and every operator costs its call.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.lm.compute.memory import Shape, count_parameters, read_shape

#: Forward, gradient of the input, gradient of the weights.
PASSES = 3
#: Reads and writes of a tensor as wide as the model that elementwise operators of one layer do,
#: forward and backward: norms, biases, residuals, rotations, copies, pages touched for the first
#: time. Fitted to ten trainings of both families, see docs/reference/estimates.md.
STREAMS_PLAIN, STREAMS_GATED = 124, 260
#: Operators of one layer, forward and backward, as the profiler counts those that reach a kernel.
OPERATORS_PLAIN, OPERATORS_GATED = 75, 170
#: Those around the layers: embedding, last norm, head, loss.
OPERATORS_AROUND = 60
#: Tensors of weights in a layer, each looked at by clipping and by the optimiser.
TENSORS = 12
#: Bytes that AdamW moves for a weight: weight and both moments read and written, the gradient
#: read, once more for its norm and written by clipping.
OPTIMIZER_BYTES = 4 * (2 + 2 + 2 + 1 + 1 + 2)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one optimiser step does, over all parts of its batch."""

    parameters: int
    tokens: int
    #: Floating point operations of products with weights, and of attention.
    product_flops: float
    attention_flops: float
    #: Bytes that elementwise operators read and write.
    stream_bytes: float
    #: Elements that go through the activation function, and scores that the loss looks at.
    activations: float
    scores: float
    operators: int
    optimizer_bytes: float
    #: Width of the model: how large its products are.
    width: int
    head_width: int
    length: int

    @property
    def flops(self) -> float:
        """All floating point operations of the step."""
        return self.product_flops + self.attention_flops

    @property
    def flops_per_token(self) -> float:
        """The same for one token."""
        return self.flops / max(1, self.tokens)


def step_work(
    architecture: Mapping[str, Any],
    batch_size: int,
    sequence_length: int,
    gradient_accumulation: int = 1,
    recomputed: bool = False,
) -> Work:
    """The work of one step: `batch_size` sequences, forward, backward and AdamW.

    Where activations are `recomputed`, the layers go forward once more, a third of their work.
    """
    shape, parameters = read_shape(architecture), count_parameters(architecture)
    again = 1 + 1 / PASSES if recomputed else 1.0
    tokens = batch_size * sequence_length
    layers = shape.layers
    streams = STREAMS_GATED if shape.gated else STREAMS_PLAIN
    operators = OPERATORS_GATED if shape.gated else OPERATORS_PLAIN
    inner = shape.heads * shape.head_width
    wide = streams * shape.hidden + (6 if shape.gated else 2) * shape.inner
    return Work(
        parameters=parameters,
        tokens=tokens,
        product_flops=2.0 * PASSES * tokens * (layer_weights(shape) * again + head_weights(shape)),
        attention_flops=12.0 * layers * inner * sequence_length * tokens * again,
        stream_bytes=4.0 * tokens * (layers * wide * again + 6 * shape.hidden),
        activations=tokens * layers * shape.inner * again,
        scores=float(tokens * shape.vocabulary),
        operators=round(
            gradient_accumulation * (layers * operators * again + OPERATORS_AROUND)
            + 2 * layers * TENSORS
        ),
        optimizer_bytes=float(OPTIMIZER_BYTES * parameters),
        width=shape.hidden,
        head_width=shape.head_width,
        length=sequence_length,
    )


def training_flops(
    architecture: Mapping[str, Any], batch_size: int, sequence_length: int, *, adapter: bool = False
) -> float:
    """Floating point operations of one step, as the utilisation of a device is counted.

    Beside an adapter the weights of the base get no gradients of their own: of the three shares of
    their products one is left out; the adapter's own products are too small to count. What is
    computed again to spare memory is not counted.
    """
    work = step_work(architecture, batch_size, sequence_length)
    products = work.product_flops * (PASSES - 1) / PASSES if adapter else work.product_flops
    return products + work.attention_flops


def product_weights(shape: Shape) -> int:
    """Weights that every token is multiplied with: those of the layers and of the head."""
    return layer_weights(shape) + head_weights(shape)


def layer_weights(shape: Shape) -> int:
    """Weights of the products of all layers."""
    inner = shape.heads * shape.head_width
    key_value = shape.key_value_heads * shape.head_width
    attention = shape.hidden * (2 * inner + 2 * key_value)
    feed_forward = (3 if shape.gated else 2) * shape.hidden * shape.inner
    return shape.layers * (attention + feed_forward)


def head_weights(shape: Shape) -> int:
    """Weights of the head: looking up an embedding is no product, a tied head is one."""
    return shape.vocabulary * shape.hidden
