"""Deployment formats of a model: one file each, registered in `base.FORMATS`.

Nothing here imports torch before a format is written or read, so that every process can list them.
"""

from workers.lm.formats import arpa, gguf, int8, merged, onnx, openvino, plain
from workers.lm.formats.base import FORMATS, Format

__all__ = ["FORMATS", "Format", "arpa", "gguf", "int8", "merged", "onnx", "openvino", "plain"]
