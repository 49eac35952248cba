"""Safetensors in another precision: what every other tool reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workers.lm.formats.base import (
    EXACT,
    HALF,
    Format,
    Precision,
    Reader,
    copy_companions,
    register,
    stop_if_asked,
)

if TYPE_CHECKING:
    import torch

    from workers.lm.events import Events

#: Weights of one file; larger models are cut into shards, each written and forgotten.
SHARD_BYTES = 2 * 10**9


@register
class Plain(Format):
    name = "safetensors"
    label = "Safetensors"
    purpose = "The same model in half the size, or back in full precision, for any tool."
    produces = "safetensors"
    place = 2
    precisions: ClassVar[tuple[Precision, ...]] = (
        Precision("bf16", 2, HALF),
        Precision("fp16", 2, HALF),
        Precision("fp32", 4, EXACT),
    )

    def write(self, source: Path, out: Path, precision: str, events: Events) -> None:
        import torch

        from workers.lm.errors import InvalidWork
        from workers.lm.formats.weights import Weights, read_config

        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]
        weights, held, shards = Weights(source), 0, Shards(out)
        for number, name in enumerate(weights):
            stop_if_asked(events, number)
            tensor = weights[name].to(dtype)
            if not bool(torch.isfinite(tensor).all()):
                raise InvalidWork(
                    "precision", f"{name} holds numbers too large for {precision}. Use bf16."
                )
            size = tensor.numel() * tensor.element_size()
            if held and held + size > SHARD_BYTES:
                shards.flush()
                held = 0
            shards.waiting[name] = tensor.contiguous()
            held += size
            events.progress(
                step=number + 1, total=len(weights), stage="converting",
                percent=100 * (number + 1) / len(weights), eta_s=None,
            )  # fmt: skip
        shards.finish()
        config = read_config(source)
        config.pop("torch_dtype", None)
        config["dtype"] = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}[precision]
        (out / "config.json").write_text(json.dumps(config, indent=2))
        copy_companions(source, out)

    def open(self, folder: Path, threads: int) -> Reader:
        from workers.lm.families.transformer import load_model
        from workers.lm.formats.weights import TorchReader

        return TorchReader(load_model(folder))


class Shards:
    """Writes weights into one file, or into several with an index, as transformers names them."""

    def __init__(self, out: Path) -> None:
        self.waiting: dict[str, torch.Tensor] = {}
        self._out, self._bytes, self._written = out, 0, list[list[str]]()

    def flush(self) -> None:
        """Write what waits, and forget it."""
        from safetensors.torch import save_file

        path = self._part(len(self._written))
        save_file(self.waiting, path, metadata={"format": "pt"})
        self._bytes += sum(value.numel() * value.element_size() for value in self.waiting.values())
        self._written.append(list(self.waiting))
        self.waiting = {}

    def finish(self) -> None:
        """Give the files their names."""
        self.flush()
        count = len(self._written)
        if count == 1:
            self._part(0).rename(self._out / "model.safetensors")
            return
        where = {}
        for number, names in enumerate(self._written):
            name = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
            self._part(number).rename(self._out / name)
            where.update(dict.fromkeys(names, name))
        index = {"metadata": {"total_size": self._bytes}, "weight_map": where}
        (self._out / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))

    def _part(self, number: int) -> Path:
        return self._out / f"part-{number}.safetensors"
