"""The weights of a source, one tensor at a time, checked before they are used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from workers.lm.errors import InvalidWork, UnusableModel

#: What safetensors calls the numbers that can be converted.
FLOATS = ("F64", "F32", "F16", "BF16")
_INDEX = "model.safetensors.index.json"


def shards_of(folder: Path) -> list[Path]:
    """The weight files of a folder, in order. Raises UnusableModel where one is missing."""
    index = folder / _INDEX
    if index.is_file():
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        missing = [name for name in names if not (folder / Path(name).name).is_file()]
        if missing:
            raise UnusableModel(f"The shard {missing[0]} is missing.")
        return [folder / Path(name).name for name in names]
    path = folder / "model.safetensors"
    if not path.is_file():
        raise UnusableModel("The source has no model.safetensors.")
    return [path]


class Weights:
    """Reads single tensors of a source; holds no more than one of them."""

    def __init__(self, folder: Path) -> None:
        self._where: dict[str, Any] = {}
        for path in shards_of(folder):
            try:
                opened = safe_open(path, framework="pt")
                names = list(opened.keys())  # type: ignore[no-untyped-call]
            except (SafetensorError, OSError) as error:
                raise UnusableModel(
                    f"{path.name} is damaged or not whole ({error}). Restore it from a backup."
                ) from error
            for name in names:
                kind = opened.get_slice(name).get_dtype()  # type: ignore[no-untyped-call]
                if kind not in FLOATS:
                    raise InvalidWork(
                        "version",
                        f"The weight {name} is of type {kind}; only {', '.join(FLOATS)} can be "
                        "converted. Choose the version that this one was made from.",
                    )
                self._where[name] = opened

    def __len__(self) -> int:
        return len(self._where)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._where))

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def shape(self, name: str) -> tuple[int, ...]:
        """Sizes of one tensor, without reading it."""
        return tuple(self._where[name].get_slice(name).get_shape())

    def __getitem__(self, name: str) -> torch.Tensor:
        """One tensor in fp32, or UnusableModel where it holds what is not a number."""
        if name not in self._where:
            raise UnusableModel(f"The weight {name} is missing.")
        tensor: torch.Tensor = self._where[name].get_tensor(name).float()
        if not bool(torch.isfinite(tensor).all()):
            raise UnusableModel(f"The weights of {name} are not all finite numbers.")
        return tensor


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a source, or UnusableModel."""
    try:
        values = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise UnusableModel("The source has no readable config.json.") from error
    if not isinstance(values, dict):
        raise UnusableModel("config.json must hold a JSON object.")
    return values


class TorchReader:
    """Any causal model of transformers."""

    def __init__(self, model: Any) -> None:
        import transformers

        self.engine = f"transformers {transformers.__version__}"
        self._model = model.train(False)

    @torch.inference_mode()
    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._model(input_ids=ids, use_cache=False).logits
        return logits.float()
