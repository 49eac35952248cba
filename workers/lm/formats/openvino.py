"""OpenVINO's own files, compiled for Intel processors when they are opened.

Where the architecture allows it keys and values are kept inside the model, which is what serving
needs; else the graph computes a whole text at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workers.lm.formats.base import (
    EIGHT_BIT,
    EXACT,
    HALF,
    Format,
    Precision,
    Reader,
    copy_companions,
    register,
)

if TYPE_CHECKING:
    import openvino
    import torch

    from workers.lm.events import Events

FILE = "openvino_model.xml"


def _whole_texts(source: Path, events: Events) -> openvino.Model:
    """A graph without a cache, by way of ONNX."""
    import tempfile

    import openvino

    from workers.lm.formats.onnx import FILE as GRAPH
    from workers.lm.formats.onnx import Onnx

    with tempfile.TemporaryDirectory() as folder:
        Onnx().write(source, Path(folder), "fp32", events)
        return openvino.convert_model(Path(folder) / GRAPH)


@register
class OpenVino(Format):
    name = "openvino"
    label = "OpenVINO"
    purpose = "For OpenVINO on Intel processors and graphics; served here with the engine openvino."
    produces = "openvino"
    place = 5
    precisions = (
        Precision("fp16", 2, HALF), Precision("int8", 1, EIGHT_BIT), Precision("fp32", 4, EXACT),
    )  # fmt: skip
    packages = ("openvino", "onnx", "onnxscript")
    extra = "openvino"
    suffixes = (".xml", ".bin")
    memory_per_weight = 24.0

    def write(self, source: Path, out: Path, precision: str, events: Events) -> None:
        import openvino

        from workers.lm.families.transformer import load_model
        from workers.lm.formats.base import stop_if_asked
        from workers.lm.formats.openvino_graph import (
            compress_to_int8,
            stateful_graph,
            why_stateless,
        )
        from workers.lm.formats.weights import Weights

        Weights(source)
        model = load_model(source)
        reason = why_stateless(model)
        if reason:
            events.log(f"It cannot be served from this: {reason}.")
            graph = _whole_texts(source, events)
        else:
            events.log("Tracing the model; this can take minutes for a large one.")
            graph = stateful_graph(model)
        stop_if_asked(events)
        if precision == "int8":
            compress_to_int8(graph)
        openvino.save_model(graph, out / FILE, compress_to_fp16=precision == "fp16")
        copy_companions(source, out, more=["config.json"])

    def open(self, folder: Path, threads: int) -> Reader:
        return OpenVinoReader(folder / FILE, threads)


class OpenVinoReader:
    """Stock OpenVINO on the processor, computing in fp32."""

    def __init__(self, path: Path, threads: int) -> None:
        import openvino

        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        self._model = openvino.Core().compile_model(path, "CPU", settings)
        self.engine = f"openvino {openvino.__version__.partition('-')[0]}"

    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        import torch

        request = self._model.create_infer_request()
        rows, tokens = ids.shape
        every = {
            "input_ids": ids, "attention_mask": torch.ones_like(ids),
            "position_ids": torch.arange(tokens)[None].repeat(rows, 1),
            "beam_idx": torch.arange(rows, dtype=torch.int32),
        }  # fmt: skip
        taken = {port.get_any_name() for port in self._model.inputs}
        found = request.infer({name: every[name].numpy() for name in taken})
        return torch.from_numpy(found[self._model.output("logits")].copy())
