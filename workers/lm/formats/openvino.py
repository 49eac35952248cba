"""OpenVINO's own files, compiled for Intel processors when they are opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workers.lm.formats.base import (
    EXACT,
    HALF,
    Format,
    Precision,
    Reader,
    copy_companions,
    register,
)

if TYPE_CHECKING:
    import torch

    from workers.lm.events import Events

FILE = "openvino_model.xml"


@register
class OpenVino(Format):
    name = "openvino"
    label = "OpenVINO"
    purpose = "For OpenVINO on Intel processors and graphics."
    produces = "openvino"
    place = 5
    precisions = (Precision("fp16", 2, HALF), Precision("fp32", 4, EXACT))
    packages = ("openvino", "onnx", "onnxscript")
    extra = "openvino"
    suffixes = (".xml", ".bin")
    memory_per_weight = 24.0

    def write(self, source: Path, out: Path, precision: str, events: Events) -> None:
        import tempfile

        import openvino

        from workers.lm.formats.base import stop_if_asked
        from workers.lm.formats.onnx import FILE as GRAPH
        from workers.lm.formats.onnx import Onnx

        with tempfile.TemporaryDirectory() as folder:
            Onnx().write(source, Path(folder), "fp32", events)
            stop_if_asked(events)
            model = openvino.convert_model(Path(folder) / GRAPH)
            openvino.save_model(model, out / FILE, compress_to_fp16=precision == "fp16")
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

        found = self._model({"input_ids": ids.numpy()})
        return torch.from_numpy(found[self._model.output(0)].copy())
