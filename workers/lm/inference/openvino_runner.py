"""The runner over OpenVINO's paged attention: its kernels, our scheduler, sampler and events.

A slot owns a row of pages for good, so that a sequence moves by trading rows, not by copying.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workers.lm.formats.base import has_package
from workers.lm.formats.openvino import FILE

from .errors import ModelRefused, UnsupportedAttention
from .loading import context_length, eos_ids, generation_settings, load_config, load_tokenizer
from .plan import Move, StepPlan
from .probe import check_memory, check_runner

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from .server import ServeOptions

#: Positions of a page of the processor plugin.
PAGE = 32
_ROWS = "logit_rows"
_PRECISIONS = {"fp32": "f32", "bf16": "bf16"}
_PROBED = (7, 24)
#: Keys and values are kept in 8 bits unless told otherwise, and products round their inputs.
_TOLERANCE = 6e-2


@dataclass(frozen=True, kw_only=True)
class LoadedGraph:
    """A runner that was proved, with what the server must know of its model."""

    runner: OpenVinoRunner
    tokenizer: PreTrainedTokenizerBase
    eos_ids: frozenset[int]
    architecture: str
    parameters: int


def load_openvino(options: ServeOptions) -> LoadedGraph:
    """Compile the model for this processor and prove it. Raises ModelRefused with the reason."""
    directory = options.model_dir
    graph = _read(options)
    config = load_config(directory)
    tokenizer = load_tokenizer(directory)
    told = settings(options.threads, _PRECISIONS[options.dtype])
    expected = _expectations(graph, told)
    runner = OpenVinoRunner(
        graph,
        told,
        context_length=context_length(config, options.max_context),
        max_slots=options.max_slots,
        prefill_chunk=options.prefill_chunk,
        spare_bytes=options.prefix_cache_mb * 2**20 if options.prefix_cache else 0,
    )
    if len(tokenizer) > runner.vocab_size:
        raise ModelRefused(
            f"The tokenizer knows {len(tokenizer)} tokens, the model only {runner.vocab_size}: "
            "they do not belong together."
        )
    try:
        check_runner(runner, *expected, _TOLERANCE)
    except UnsupportedAttention as error:
        raise ModelRefused(
            f"OpenVINO's paged attention does not give this model's own answers: {error}. "
            "Serve the version in safetensors that it was converted from."
        ) from error
    return LoadedGraph(
        runner=runner, tokenizer=tokenizer,
        eos_ids=eos_ids([config.get_text_config(), generation_settings(directory), tokenizer],
                        runner.vocab_size),
        architecture=config.model_type, parameters=runner.parameters,
    )  # fmt: skip


def _read(options: ServeOptions) -> Any:
    if not has_package("openvino"):
        raise ModelRefused(
            "This node does not have OpenVINO. Install it: pip install -r"
            " requirements/openvino.txt; then start its worker again."
        )
    if options.dtype not in _PRECISIONS:
        raise ModelRefused("OpenVINO serves with the number formats fp32 and bf16; choose one.")
    if not (options.model_dir / FILE).is_file():
        raise ModelRefused(
            f"There is no {FILE} in the model directory: the engine openvino serves versions in"
            " the format openvino."
        )
    import openvino

    try:
        graph = openvino.Core().read_model(options.model_dir / FILE)
    except RuntimeError as error:
        raise ModelRefused(f"OpenVINO cannot read the model: {error}") from error
    if not any(node.get_type_name() == "ReadValue" for node in graph.get_ops()):
        raise ModelRefused(
            "This OpenVINO model keeps no keys and values, so every token would cost the whole"
            " text. Convert the version again, or serve it in safetensors."
        )
    return graph


def settings(threads: int, hint: str) -> dict[str, Any]:
    """What the processor plugin is told; `hint` is the precision it computes in, f32 or bf16."""
    return {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": hint,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "KV_CACHE_PRECISION": "u8",  # what it takes by itself; said, so that pages are bytes
    }


def _expectations(graph: Any, told: dict[str, Any]) -> tuple[list[list[int]], list[torch.Tensor]]:
    """Two texts and all rows of their logits, by the model as it was written."""
    import openvino

    compiled = openvino.Core().compile_model(graph, "CPU", told)
    width = compiled.output("logits").partial_shape[2].get_length()
    generator = torch.Generator().manual_seed(20)
    texts, rows = [], []
    for length in _PROBED:
        ids = torch.randint(0, width, (length,), generator=generator)
        request = compiled.create_infer_request()
        found = request.infer({
            "input_ids": ids[None].numpy(), "attention_mask": np.ones((1, length), np.int64),
            "position_ids": np.arange(length)[None], "beam_idx": np.zeros(1, np.int32),
        })  # fmt: skip
        texts.append(ids.tolist())
        rows.append(torch.from_numpy(found[compiled.output("logits")][0].copy()))
    return texts, rows


class OpenVinoRunner:
    """Computes steps with a compiled model; see `plan.Runner`."""

    mode = "openvino"
    whole_prompts = False
    checks_drafts = True

    def __init__(
        self,
        graph: Any,
        told: dict[str, Any],
        *,
        context_length: int,
        max_slots: int,
        prefill_chunk: int,
        spare_bytes: int = 0,
    ) -> None:
        import openvino

        self.context_length = context_length
        self.max_slots = max_slots
        self.prefill_chunk = prefill_chunk
        self.parameters = _weights(graph)
        self._selects_rows = _on_pages(graph)
        compiled = openvino.Core().compile_model(graph, "CPU", told)
        self.vocab_size = int(compiled.output("logits").partial_shape[-1].get_length())
        self._request = compiled.create_infer_request()
        each = -(-context_length // PAGE)
        self._rows = [list(range(slot * each, (slot + 1) * each)) for slot in range(max_slots)]
        self.cache = Pages(compiled, self._request, each * max_slots, spare_bytes)

    def forward(self, plan: StepPlan) -> torch.Tensor:
        """One inference; see `plan.Runner`."""
        ids: list[int] = []
        positions: list[int] = []
        keep: list[int] = []
        lengths, befores, pages = [], [], []
        for slot, start, tokens, rows in _sequences(plan):
            keep += range(len(ids) + len(tokens) - rows, len(ids) + len(tokens))
            ids += tokens
            end = start + len(tokens)
            positions += range(start, end)
            lengths.append(len(tokens))
            befores.append(start)
            pages.append(self._rows[slot][: -(-end // PAGE)])
        wanted = np.array(keep or [0], dtype=np.int64)
        inputs = {
            "input_ids": np.array(ids, dtype=np.int64),
            "position_ids": np.array(positions, dtype=np.int64),
            "past_lens": np.array(befores, dtype=np.int32),
            "subsequence_begins": _begins(lengths),
            "block_indices": np.fromiter(chain.from_iterable(pages), dtype=np.int32),
            "block_indices_begins": _begins([len(row) for row in pages]),
            "max_context_len": np.array(max(positions) + 1, dtype=np.int32),
        }
        if self._selects_rows:
            inputs[_ROWS] = wanted
        found = self._request.infer(inputs, share_inputs=True, share_outputs=True)
        logits = torch.from_numpy(next(iter(found.values()))).view(-1, self.vocab_size)
        if not self._selects_rows:
            logits = logits[torch.from_numpy(wanted)]
        return logits[: len(keep)]

    def move(self, move: Move) -> None:
        """Trade the pages of two slots."""
        rows = self._rows
        rows[move.source], rows[move.target] = rows[move.target], rows[move.source]

    def fork(self, fork: Move) -> None:
        """Copy the pages of a sequence to another slot."""
        count = -(-fork.length // PAGE)
        self.cache.copy(self._rows[fork.source][:count], self._rows[fork.target][:count])

    def release(self, slot: int, *, wipe: bool = False) -> None:
        """Pages are read only as far as their sequence has written them."""

    def spare_pages(self) -> SparePages:
        """Where beginnings of prompts can be kept."""
        return SparePages(self.cache, self._rows)


def _sequences(plan: StepPlan) -> list[tuple[int, int, list[int], int]]:
    """(slot, first position, tokens, rows of logits wanted) of each sequence, in order."""
    found = []
    drafts = plan.drafts or ((),) * len(plan.decode)
    for slot, (token, start, guesses) in enumerate(
        zip(plan.decode, plan.positions, drafts, strict=True)
    ):
        found.append((slot, start, [token, *guesses], 1 + len(guesses)))
    found += [(chunk.slot, chunk.start, chunk.tokens, chunk.rows) for chunk in plan.chunks]
    return found


def _begins(lengths: list[int]) -> Any:
    return np.fromiter(accumulate(lengths, initial=0), dtype=np.int32)


class Pages:
    """The tensors of keys and values, one pair a layer, in the shape the plugin asks for.

    Behind the pages of the slots lie spare ones. On the processor memory is taken when a page is
    first written.
    """

    def __init__(self, compiled: Any, request: Any, count: int, spare_bytes: int) -> None:
        import openvino

        ports = [port for port in compiled.inputs if _is_cache(port.get_any_name())]
        shapes = [[port.partial_shape[axis].get_length() for axis in (1, 2, 3)] for port in ports]
        sizes = [
            int(np.prod(shape)) * port.element_type.size
            for port, shape in zip(ports, shapes, strict=True)
        ]
        self.first_spare, self.spare = count, spare_bytes // sum(sizes)
        total = count + self.spare
        self.bytes = total * sum(sizes)
        check_memory(self.bytes)
        self._held = []
        for port, shape, size in zip(ports, shapes, sizes, strict=True):
            raw = np.zeros((total, size), dtype=np.uint8)
            plain = raw.view(port.element_type.to_dtype()).reshape(total, *shape)
            tensor = openvino.Tensor(plain, shared_memory=True)
            request.set_tensor(port, tensor)
            self._held.append((raw, tensor))

    def copy(self, sources: list[int], targets: list[int]) -> None:
        """Whole pages, in all layers."""
        for raw, _ in self._held:
            raw[targets] = raw[sources]


class SparePages:
    """A `BlockStore` whose blocks are pages."""

    size = PAGE

    def __init__(self, pages: Pages, rows: list[list[int]]) -> None:
        self.blocks = pages.spare
        self._pages = pages
        self._rows = rows

    def save(self, slot: int, first: int, blocks: list[int]) -> None:
        """See `BlockStore`."""
        at = first // PAGE
        self._pages.copy(self._rows[slot][at : at + len(blocks)], self._numbers(blocks))

    def load(self, slot: int, blocks: list[int]) -> None:
        """See `BlockStore`."""
        self._pages.copy(self._numbers(blocks), self._rows[slot][: len(blocks)])

    def _numbers(self, blocks: list[int]) -> list[int]:
        return [self._pages.first_spare + block for block in blocks]


def _is_cache(name: str) -> bool:
    return name.startswith(("key_cache.", "value_cache."))


def _weights(graph: Any) -> int:
    """Numbers in matrices; scales and constants of the graph are not counted."""
    return sum(
        int(np.prod(node.get_output_shape(0)))
        for node in graph.get_ops()
        if node.get_type_name() == "Constant"
        and len(node.get_output_shape(0)) == 2
        and min(node.get_output_shape(0)) > 1
    )


def _on_pages(graph: Any) -> bool:
    """Put the attention on pages; True where the last product computes wanted rows only."""
    from openvino._offline_transformations import paged_attention_transformation

    try:
        paged_attention_transformation(graph)
    except RuntimeError as error:
        raise ModelRefused("OpenVINO cannot put this model's attention on pages.") from error
    return _select_rows(graph)


def _select_rows(graph: Any) -> bool:
    from openvino import PartialShape, opset13

    product = _last_product(graph)
    if product is None:
        return False
    rows = opset13.parameter(PartialShape([-1]), np.int64, name=_ROWS)
    rows.output(0).get_tensor().set_names({_ROWS})
    port = product.input(0)
    chosen = opset13.gather(port.get_source_output(), rows, opset13.constant(0))
    port.replace_source_output(chosen.output(0))
    graph.add_parameters([rows])
    graph.validate_nodes_and_infer_types()
    return True


def _last_product(graph: Any) -> Any:
    """The product that makes logits, behind what is done to each logit by itself."""
    node = graph.output("logits").get_node().input(0).get_source_output().get_node()
    alone = {"Multiply", "Divide", "Tanh", "Convert", "Add"}
    while node.get_type_name() in alone:
        node = node.input(0).get_source_output().get_node()
    return node if node.get_type_name() == "MatMul" else None
