"""How much memory a training will need and how much there is; plain Python, no torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_NAMES = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "heads": ("num_attention_heads", "n_head", "num_heads"),
    "inner": ("intermediate_size", "n_inner", "ffn_dim"),
    "context": ("max_position_embeddings", "n_positions", "n_ctx"),
}

# Library code, allocator and the interpreter itself, before the first tensor.
PROCESS_OVERHEAD = 400 * 2**20


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes by purpose, and the number of parameters they follow from."""

    parameters: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    overhead: int
    #: What a checkpoint is written from while the training goes on: one copy, at the main process.
    copy: int = 0

    @property
    def total(self) -> int:
        """All of it at once, as at the end of a forward pass."""
        return (
            self.weights + self.gradients + self.optimizer + self.activations + self.overhead
            + self.copy
        )  # fmt: skip

    def shared(
        self, processes: int, copies: int, *, each: bool = False, nodes: int = 1
    ) -> "MemoryEstimate":
        """The need of several processes on each of `nodes`, or of `each` on a device of its own.

        They hold so many `copies` of what follows from the weights; the activations they share.
        """
        part = processes if each else nodes
        return MemoryEstimate(
            parameters=self.parameters,
            weights=self.weights * copies // part,
            gradients=self.gradients * copies // part,
            optimizer=self.optimizer * copies // part,
            activations=self.activations // part,
            overhead=self.overhead * (1 if each else processes // nodes),
            copy=self.copy,
        )

    def to_dict(self) -> dict[str, int]:
        """Plain data with the total."""
        return {**asdict(self), "total": self.total}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes that parameters and activations follow from."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    head_width: int
    inner: int
    vocabulary: int
    context: int
    gated: bool
    biased: bool
    learned_positions: bool
    tied: bool


def read_shape(architecture: Mapping[str, Any]) -> Shape:
    """Read the sizes out of a transformers configuration, whatever it calls them."""
    like_gpt2 = architecture.get("model_type") in ("gpt2", "gpt_bigcode", "opt")
    hidden = _first(architecture, "hidden", 0)
    heads = _first(architecture, "heads", 1)
    gated = not like_gpt2 and architecture.get("model_type") not in ("gpt_neox", "phi")
    return Shape(
        hidden=hidden,
        layers=_first(architecture, "layers", 0),
        heads=heads,
        key_value_heads=int(architecture.get("num_key_value_heads") or heads),
        head_width=int(architecture.get("head_dim") or hidden // max(heads, 1)),
        inner=_first(architecture, "inner", 4 * hidden),
        vocabulary=int(architecture.get("vocab_size") or 0),
        context=_first(architecture, "context", 0),
        gated=gated,
        biased=not gated,
        learned_positions=like_gpt2,
        tied=bool(architecture.get("tie_word_embeddings", like_gpt2)),
    )


def count_parameters(architecture: Mapping[str, Any]) -> int:
    """Parameters of a decoder of this shape; exact for the GPT-2 and Llama families."""
    shape = read_shape(architecture)
    inner_product = shape.heads * shape.head_width
    key_value = shape.key_value_heads * shape.head_width
    attention = shape.hidden * (2 * inner_product + 2 * key_value)
    feed_forward = (3 if shape.gated else 2) * shape.hidden * shape.inner
    norms = 2 * shape.hidden * (2 if shape.biased else 1)
    biases = inner_product + 2 * key_value + 2 * shape.hidden + shape.inner if shape.biased else 0
    embedding = shape.vocabulary * shape.hidden * (1 if shape.tied else 2)
    positions = shape.context * shape.hidden if shape.learned_positions else 0
    last_norm = shape.hidden * (2 if shape.biased else 1)
    return (
        shape.layers * (attention + feed_forward + norms + biases)
        + embedding + positions + last_norm
    )  # fmt: skip


def count_adapter(architecture: Mapping[str, Any], rank: int) -> int:
    """Parameters of an adapter of that rank beside every linear layer of the decoder's blocks."""
    shape = read_shape(architecture)
    inner_product = shape.heads * shape.head_width
    key_value = shape.key_value_heads * shape.head_width
    if shape.gated or architecture.get("model_type") == "opt":
        taken = 3 * shape.hidden + inner_product  # queries, keys and values, and the way out
    else:
        taken = shape.hidden + inner_product  # queries, keys and values are one layer
    attention = taken + inner_product + 2 * key_value + shape.hidden
    feed_forward = (3 if shape.gated else 2) * (shape.hidden + shape.inner)
    return rank * shape.layers * (attention + feed_forward)


def cache_bytes(architecture: Mapping[str, Any], tokens: int, width: int = 4) -> int:
    """What serving keeps of so many tokens of one sequence: a key and a value of every layer.

    2·L·K·D·T numbers of `width` bytes, of K heads of keys with D numbers each; queries that share
    heads of keys (grouped-query attention) make K smaller than the number of heads.
    """
    shape = read_shape(architecture)
    return 2 * shape.layers * shape.key_value_heads * shape.head_width * tokens * width


def estimate(
    architecture: Mapping[str, Any],
    batch_size: int,
    sequence_length: int,
    gradient_accumulation: int = 1,
    precision: str = "fp32",
    training: bool = True,
    dropout: float = 0.0,
    trained: int | None = None,
    recomputed: bool = False,
    copied: bool = False,
) -> MemoryEstimate:
    """Estimate the memory of a training (or, with `training=False`, of scoring).

    `trained` are the parameters of an adapter: only they have gradients and moments, the base
    beside them does not. With `recomputed` activations only what enters each layer is kept. With
    `copied`, checkpoints are written from a copy in the same memory.
    """
    shape = read_shape(architecture)
    parameters = count_parameters(architecture)
    tokens = max(1, batch_size // gradient_accumulation) * sequence_length
    width = 2 if precision == "bf16" else 4
    weights = 4 * parameters + (2 * parameters if precision == "bf16" and training else 0)
    if not training:
        live = tokens * (8 * shape.hidden + shape.inner * 2) * width
        activations = live + tokens * shape.vocabulary * 4
        return MemoryEstimate(
            parameters=parameters, weights=weights, gradients=0, optimizer=0,
            activations=activations, overhead=PROCESS_OVERHEAD,
        )  # fmt: skip
    changed = parameters if trained is None else trained
    return MemoryEstimate(
        parameters=parameters,
        weights=weights + (0 if trained is None else 4 * trained),
        gradients=4 * changed,
        optimizer=8 * changed,
        activations=_activations(
            shape, tokens, width, sequence_length if dropout else 0, recomputed
        ),
        overhead=PROCESS_OVERHEAD,
        copy=12 * changed if copied else 0,
    )


def _activations(
    shape: Shape, tokens: int, width: int, dropped_length: int, recomputed: bool
) -> int:
    """What the backward pass keeps: per layer and token, and the scores of the vocabulary.

    With dropout the attention weights of each pair of tokens are kept as well, several times.
    Recomputed, one layer at a time has its own, beside what entered each of them, in fp32.
    """
    key_value = shape.key_value_heads * shape.head_width
    in_attention = 4 * shape.hidden + 2 * shape.heads * shape.head_width + 2 * key_value
    in_feed_forward = 2 * shape.hidden + (4 if shape.gated else 2) * shape.inner
    # Copies made by norms and, in the gated families, by rotating positions.
    copies = (17 if shape.gated else 2) * shape.hidden
    pairs = 4 * shape.heads * dropped_length
    per_layer = tokens * (in_attention + in_feed_forward + copies + pairs) * width
    # Logits, their logarithm and their gradient, the last two always in fp32.
    scores = tokens * shape.vocabulary * (width + 8)
    around = tokens * shape.hidden * width * 3 + scores
    if recomputed:
        return per_layer + shape.layers * tokens * shape.hidden * 4 + around
    return shape.layers * per_layer + around


def _first(architecture: Mapping[str, Any], what: str, default: int) -> int:
    for name in _NAMES[what]:
        if architecture.get(name) is not None:
            return int(architecture[name])
    return default


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * 4096


def peak_bytes() -> int:
    """The most that was resident of this process so far; 0 where the system does not tell.

    Not that of getrusage, which begins with the size of the process that started this one.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    found = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0].split()[1]) * 1024 if found else 0


def available_bytes() -> int | None:
    """Memory still free for this process: the machine's or its control group's, the smaller."""
    figures = [figure for figure in (_machine_free(), _group_free()) if figure is not None]
    return min(figures) if figures else None


def _machine_free() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _group_free() -> int | None:
    pairs = (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    )
    for limit, used in pairs:
        try:
            return max(0, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # absent, or the word "max"
            continue
    return None
