"""Tokenizers in folders: wrapping, reading and writing."""

import hashlib
import json
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from workers.lm.errors import UnusableModel
from workers.lm.tokenizers.markers import END_OF_TEXT

TEMPLATE_LIMIT = 64 * 1024


def wrap(
    tokenizer: Tokenizer, unknown: str | None = None, end: str = END_OF_TEXT
) -> PreTrainedTokenizerFast:
    """Give a bare tokenizer the names of its special tokens; `end` also stands for the begin."""
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=end,
        eos_token=end,
        unk_token=unknown,
        clean_up_tokenization_spaces=False,
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Read the tokenizer of a model folder; only local files, never any code from them."""
    if not (folder / "tokenizer.json").is_file():
        raise UnusableModel(f"{folder.name} has no tokenizer.json.")
    template = folder / "chat_template.jinja"
    if template.exists() and template.stat().st_size > TEMPLATE_LIMIT:
        raise UnusableModel("chat_template.jinja is larger than 64 KiB.")
    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, use_fast=True
    )
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UnusableModel(f"{folder.name} has no tokenizer that can be run from tokenizer.json.")
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write `tokenizer.json`, `tokenizer_config.json` and the chat template if there is one."""
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    if config.get("tokenizer_class") == "TokenizersBackend":
        # The name that releases before transformers 5, and tools built on them, know as well.
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False))


def tokenizer_digest(tokenizer: PreTrainedTokenizerFast) -> str:
    """What a tokenizer does to text, as one SHA-256."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def end_token(tokenizer: PreTrainedTokenizerFast) -> int:
    """The token that ends a document: the end of text, else another mark, else token 0."""
    for name in ("eos_token_id", "bos_token_id", "sep_token_id", "pad_token_id"):
        number = getattr(tokenizer, name, None)
        if number is not None:
            return int(number)
    return 0
