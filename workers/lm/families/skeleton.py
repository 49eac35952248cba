"""What transformers expects of a model's weights: names and shapes, without reading any weight."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

from workers.lm.errors import UnusableModel

_auto_model: Any = AutoModelForCausalLM


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """Names and shapes of a model; `tied` maps a name to the one whose numbers it shares."""

    shapes: Mapping[str, tuple[int, ...]]
    tied: Mapping[str, str]
    prefix: str
    ignored: tuple[str, ...]
    parameters: int
    #: Its own sizes as transformers understands them, defaults filled in.
    architecture: Mapping[str, Any]

    def own_name(self, name: str) -> str | None:
        """The model's name for a tensor of a file; None if it has none. Empty: it is ignored."""
        for candidate in (name, f"{self.prefix}.{name}", name.removeprefix(f"{self.prefix}.")):
            if candidate in self.shapes:
                return candidate
        if any(re.search(pattern, name) for pattern in self.ignored):
            return ""
        return None


def skeleton_of(folder: Path) -> Skeleton:
    """Built from `config.json` alone, on no device. Raises UnusableModel with the reason."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = _auto_model.from_config(config, trust_remote_code=False)
        model.tie_weights()
    except Exception as error:  # whatever a configuration of foreign hands brings about
        raise UnusableModel(f"{type(error).__name__}: {str(error)[:300]}") from error
    tied = dict(model.all_tied_weights_keys) if hasattr(model, "all_tied_weights_keys") else {}
    ignored = model._keys_to_ignore_on_load_unexpected or ()
    return Skeleton(
        shapes={name: tuple(value.shape) for name, value in model.state_dict().items()},
        tied=tied,
        prefix=str(model.base_model_prefix),
        ignored=tuple(ignored),
        parameters=sum(weight.numel() for weight in model.parameters()),
        architecture=json.loads(config.to_json_string(use_diff=False)),
    )


def tokenizer_size(path: Path) -> int:
    """One more than the largest id of a `tokenizer.json`. Raises UnusableModel if it is none."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise UnusableModel(str(error)[:300]) from error
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
