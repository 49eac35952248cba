"""How layers of a family are cut for tensor parallelism; plain data, importable without torch.

Of each block the first products (queries, keys, values; the wide layer of the feed-forward part)
are cut by their outputs and the last by their inputs, so that one exchange closes each half of a
block, as in Megatron-LM (Shoeybi et al., 2019, arXiv:1909.08053). Embeddings and norms stay whole.
"""

from dataclasses import dataclass

from workers.lm.compute.memory import Shape
from workers.lm.errors import InvalidTraining
from workers.lm.training.limits import cannot_share


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Names of modules within a block: what enters as a whole, and how its products are cut."""

    halves: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    #: Of `columns`: queries, keys and values side by side in one product, each cut by itself.
    fused: tuple[str, ...] = ()


_LLAMA = Plan(
    halves=("self_attn", "mlp"),
    columns=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj",
             "mlp.up_proj"),
    rows=("self_attn.o_proj", "mlp.down_proj"),
)  # fmt: skip

PLANS = {
    "gpt2": Plan(
        halves=("attn", "mlp"),
        columns=("attn.c_attn", "mlp.c_fc"),
        rows=("attn.c_proj", "mlp.c_proj"),
        fused=("attn.c_attn",),
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "gemma": _LLAMA,
}


def plan_of(model_type: str) -> Plan:
    """The plan of a family; InvalidTraining for one that has none."""
    if model_type not in PLANS:
        raise InvalidTraining(
            "parallel",
            f"Layers of {model_type} models cannot be cut (those of {', '.join(PLANS)} can). "
            "Choose ddp, or fsdp if the model is too large for one process.",
        )
    return PLANS[model_type]


def check_cut(model_type: str, shape: Shape, processes: int) -> None:
    """Refuse a family or a number of processes that the layers cannot be cut for."""
    plan_of(model_type)
    for amount, what in (
        (shape.heads, f"{shape.heads} attention heads"),
        (shape.key_value_heads, f"{shape.key_value_heads} key-value heads"),
        (shape.inner, f"inner width of {shape.inner}"),
    ):
        if amount % processes:
            raise InvalidTraining("processes", cannot_share(what, amount, processes))
