"""ONNX: a graph without a cache that onnxruntime and its many relatives run."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.lm.formats.base import EXACT, Format, Precision, Reader, copy_companions, register

if TYPE_CHECKING:
    import torch

    from workers.lm.events import Events

FILE = "model.onnx"
#: Protocol buffers end at 2 GiB: from here on the weights lie in a file beside the graph.
LARGEST = 1_800_000_000


@register
class Onnx(Format):
    name = "onnx"
    label = "ONNX"
    purpose = "For onnxruntime and what is built on it, on servers, phones and in browsers."
    produces = "onnx"
    place = 4
    precisions = (Precision("fp32", 4, EXACT),)
    packages = ("onnx", "onnxruntime", "onnxscript")
    extra = "formats"
    suffixes = (".onnx", ".onnx.data")
    memory_per_weight = 20.0

    def write(self, source: Path, out: Path, precision: str, events: Events) -> None:
        import torch

        from workers.lm.errors import InvalidWork
        from workers.lm.families.transformer import load_model
        from workers.lm.formats.weights import Weights

        Weights(source)
        model = load_model(source)
        size = sum(4 * weight.numel() for weight in model.parameters())
        example = torch.zeros((2, min(8, _context(model))), dtype=torch.int64)
        sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
        events.log("Tracing the graph; this can take minutes for a large model.")
        try:
            with _quiet():
                torch.onnx.export(
                    _logits_only(model), (example,), out / FILE,
                    input_names=["input_ids"], output_names=["logits"],
                    dynamic_shapes={"input_ids": sizes}, dynamo=True,
                    external_data=size > LARGEST, verbose=False,
                )  # fmt: skip
        except torch.onnx.OnnxExporterError as error:
            line = str(error).splitlines()[0][:300]
            raise InvalidWork(
                "format", f"This architecture cannot be written as ONNX: {line}"
            ) from error
        copy_companions(source, out, more=["config.json"])

    def open(self, folder: Path, threads: int) -> Reader:
        return OnnxReader(folder / FILE, threads)


class OnnxReader:
    """Stock onnxruntime on the processor."""

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.engine = f"onnxruntime {onnxruntime.__version__}"

    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.from_numpy(self._session.run(None, {"input_ids": ids.numpy()})[0])


def _logits_only(model: Any) -> Any:
    import torch

    class LogitsOnly(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(input_ids=input_ids, use_cache=False).logits
            return logits

    return LogitsOnly().eval()


def _context(model: Any) -> int:
    from workers.lm.families.transformer import context_of

    return context_of(model.config) or 8


@contextlib.contextmanager
def _quiet() -> Any:
    """The exporter prints its steps, and warns of its own parts."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    log.setLevel(level)
