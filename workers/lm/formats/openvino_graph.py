"""A transformer as an OpenVINO model that keeps its keys and values, as OpenVINO's servers want it.

Inputs are `input_ids`, `attention_mask`, `position_ids` [rows, tokens] and `beam_idx` [rows];
keys and values are state inside the model. Attention is one operation a layer, which OpenVINO can
put on pages of a shared cache.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface

from workers.lm.errors import InvalidWork

if TYPE_CHECKING:
    import openvino

NAME = "slipway_openvino"
#: Weights below this are not worth a scale of their own.
_SMALLEST_SIDE = 8
_INPUTS = ("input_ids", "attention_mask", "position_ids", "beam_idx")


def why_stateless(model: PreTrainedModel) -> str:
    """Why keys and values cannot be kept inside such a model; empty where they can."""
    config = model.config.get_text_config()
    if not getattr(model, "_supports_attention_backend", False):
        return "it has an attention of its own"
    if getattr(model, "_is_stateful", False):
        return "it keeps a recurrent state"
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    if kinds:
        return f"it has layers of type {', '.join(sorted(kinds))}"
    window = getattr(config, "sliding_window", None)
    if window and getattr(config, "use_sliding_window", True):
        return "its attention sees a sliding window"
    for name in ("attention_chunk_size", "alibi", "use_bidirectional_attention"):
        if getattr(config, name, None):
            return f"its configuration sets {name}"
    return ""


def stateful_graph(model: PreTrainedModel) -> openvino.Model:
    """Trace the model. Raises InvalidWork where it does not keep to what is expected of it."""
    import openvino

    layers, shapes = _cache_shapes(model)
    pairs = [f"{index}.{part}" for index in range(layers) for part in ("key", "value")]
    past = [torch.zeros(2, heads, 3, size) for heads, size in shapes]
    example = (
        torch.zeros(2, 2, dtype=torch.int64), torch.ones(2, 5, dtype=torch.int64),
        torch.arange(3, 5)[None].repeat(2, 1), torch.arange(2, dtype=torch.int32), *past,
    )  # fmt: skip
    model.set_attn_implementation(NAME)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = openvino.convert_model(_Stepping(model).eval(), example_input=example)
    _name(graph, pairs, shapes)
    _keep_inside(graph, pairs)
    return graph


def _cache_shapes(model: PreTrainedModel) -> tuple[int, list[tuple[int, int]]]:
    """(layers, (heads, size) of each key and value), as a forward pass really makes them."""
    recorder = _Recorder()
    model.set_attn_implementation(NAME)
    ids = torch.zeros(1, 2, dtype=torch.int64)
    mask = torch.ones(1, 1, 2, 2, dtype=torch.bool).tril()
    with torch.no_grad():
        model(input_ids=ids, attention_mask=mask, past_key_values=recorder, use_cache=True)
    if sorted(recorder.shapes) != list(range(len(recorder.shapes))) or not recorder.shapes:
        raise InvalidWork("format", "Its layers keep no keys and values one by one.")
    shapes = [pair for index in sorted(recorder.shapes) for pair in recorder.shapes[index]]
    return len(recorder.shapes), shapes


class _Recorder:
    """In place of transformers' cache: notes what each layer would keep."""

    is_compileable = False

    def __init__(self) -> None:
        self.shapes: dict[int, list[tuple[int, int]]] = {}

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer_idx: int, *more: Any, **others: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep nothing."""
        self.shapes[layer_idx] = [(row.shape[1], row.shape[3]) for row in (key, value)]
        return key, value

    def get_seq_length(self, layer_idx: int = 0, *more: Any) -> int:
        """Of the past: none."""
        return 0


class _Past:
    """In place of transformers' cache: what came before, joined with what is new."""

    is_compileable = False

    def __init__(self, before: list[torch.Tensor]) -> None:
        self._before = before
        self.after = list(before)

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer_idx: int, *more: Any, **others: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values of a layer."""
        for offset, new in enumerate((key, value)):
            at = 2 * layer_idx + offset
            self.after[at] = torch.cat([self._before[at], new], dim=2)
        return self.after[2 * layer_idx], self.after[2 * layer_idx + 1]

    def get_seq_length(self, layer_idx: int = 0, *more: Any) -> int:
        """Of the past, in tokens."""
        return self._before[2 * layer_idx].shape[2]


class _Stepping(nn.Module):
    """From tokens and the past to logits and the new past."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        beam_idx: torch.Tensor,
        *past: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        cache = _Past([row.index_select(0, beam_idx) for row in past])
        total, new = attention_mask.shape[1], input_ids.shape[1]
        seen = torch.arange(total)[None, None, None]
        mine = torch.arange(total - new, total)[None, None, :, None]
        mask = (seen <= mine) & attention_mask[:, None, None].bool()
        found: Any = self.model(
            input_ids=input_ids, attention_mask=mask, position_ids=position_ids,
            past_key_values=cache, use_cache=True,
        )  # fmt: skip
        return found.logits, *cache.after


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Plain attention; heads of a group are repeated in the way that OpenVINO recognises."""
    strange = [name for name in ("softcap", "s_aux", "sliding_window") if others.get(name)]
    if strange or attention_mask is None:
        raise InvalidWork("format", f"Its attention takes {', '.join(strange) or 'no mask'}.")
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = _repeat(key, groups), _repeat(value, groups)
    out = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling
    )
    return out.transpose(1, 2).contiguous(), None


def _repeat(states: torch.Tensor, groups: int) -> torch.Tensor:
    rows, heads, length, size = states.shape
    wide = states[:, :, None].expand(rows, heads, groups, length, size)
    return wide.reshape(rows, heads * groups, length, size)


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, lambda *args, **others: others.get("attention_mask"))


# ---- the graph -----------------------------------------------------------------------------


def _name(graph: openvino.Model, pairs: list[str], shapes: list[tuple[int, int]]) -> None:
    import openvino

    names = [*_INPUTS, *(f"past_key_values.{pair}" for pair in pairs)]
    for place, port in enumerate(graph.inputs):
        port.get_tensor().set_names({names[place]})
        node = port.get_node()
        if place < len(_INPUTS):
            node.set_partial_shape(openvino.PartialShape([-1] if place == 3 else [-1, -1]))
            continue
        heads, size = shapes[place - len(_INPUTS)]
        node.set_partial_shape(openvino.PartialShape([-1, heads, -1, size]))
    for place, port in enumerate(graph.outputs):
        port.get_tensor().set_names({"logits" if not place else f"present.{pairs[place - 1]}"})
    graph.validate_nodes_and_infer_types()


def _keep_inside(graph: openvino.Model, pairs: list[str]) -> None:
    """Keys and values become state that begins empty."""
    from openvino import opset13
    from openvino._offline_transformations import apply_make_stateful_transformation

    apply_make_stateful_transformation(
        graph, {f"past_key_values.{pair}": f"present.{pair}" for pair in pairs}
    )
    shape = opset13.shape_of(graph.input("input_ids"), "i64")
    rows = opset13.gather(shape, opset13.constant([0]), opset13.constant(0))
    for node in list(graph.get_ops()):
        if node.get_type_name() != "ReadValue":
            continue
        whole = node.get_output_partial_shape(0)
        rest = np.array([whole[1].get_length(), 0, whole[3].get_length()], dtype=np.int64)
        empty = opset13.concat([rows, opset13.constant(rest)], 0)
        zero = opset13.constant(np.float32(0))
        node.set_arguments([opset13.broadcast(zero, empty)])
    graph.validate_nodes_and_infer_types()


def compress_to_int8(graph: openvino.Model) -> int:
    """Weights of products and embeddings become 8-bit numbers with a scale for each row.

    Returns how many were replaced.
    """
    from openvino import opset13

    count = 0
    for node in list(graph.get_ops()):
        users = [port.get_node().get_type_name() for port in _users(node)]
        if node.get_type_name() != "Constant" or not set(users) & {"MatMul", "Gather"}:
            continue
        shape = list(node.get_output_shape(0))
        if (
            len(shape) != 2
            or min(shape) < _SMALLEST_SIDE
            or "f32" not in str(node.get_element_type().to_string())
        ):
            continue
        whole, scale = _rounded(node.data)
        narrow = opset13.convert(opset13.constant(whole), "f32")
        wide = opset13.multiply(narrow, opset13.constant(scale))
        for port in _users(node):
            port.replace_source_output(wide.output(0))
        count += 1
    return count


def _users(node: Any) -> list[Any]:
    return [port for output in node.outputs() for port in output.get_target_inputs()]


def _rounded(weight: Any) -> tuple[Any, Any]:
    """(int8 of the same shape, fp32 scale of each row)."""
    from workers.lm.int8 import quantise

    whole, scale = quantise(torch.from_numpy(np.array(weight)))
    return whole.numpy(), scale.numpy()[:, None]
