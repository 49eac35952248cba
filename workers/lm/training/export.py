"""The finished model as a folder that transformers loads, with the facts of its training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from workers.lm.durable import file_digest, folder_published
from workers.lm.families.lora import is_adapted, write_card
from workers.lm.families.transformer import check_finite, context_of
from workers.lm.tokenizers.saved import end_token, save_tokenizer

FACTS = "training.json"


def export_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    facts: dict[str, Any],
    output_dir: Path,
    save: Callable[[PreTrainedModel, Path], None],
) -> dict[str, dict[str, Any]]:
    """Write everything aside, the model by `save`, then publish it; tells size and SHA-256 of
    every file."""
    check_finite(model)
    if (context := context_of(model.config)) is not None:
        tokenizer.model_max_length = context
    end = end_token(tokenizer)
    if not is_adapted(model):
        model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
            bos_token_id=end, eos_token_id=end, pad_token_id=end
        )
    with folder_published(output_dir) as aside:
        save(model, aside)
        if is_adapted(model):
            write_card(model, aside)
        save_tokenizer(tokenizer, aside)
        (aside / FACTS).write_text(json.dumps(facts, indent=1, sort_keys=True))
    return {
        path.name: {"sha256": file_digest(path), "size": path.stat().st_size}
        for path in sorted(output_dir.iterdir())
    }
