"""The tokenizer of a model in GGUF's words: tokens, merges, special tokens, chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workers.lm.errors import InvalidWork, UnusableModel

_NORMAL, _CONTROL, _USER = 1, 3, 4
_LLAMA3 = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
_QWEN2 = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"


def add_vocabulary(writer: Any, source: Path, size: int) -> None:
    """Write all of it; refuses a tokenizer that llama.cpp would read otherwise (InvalidWork)."""
    found = _read(source)
    model = found["model"]
    vocabulary: dict[str, int] = dict(model["vocab"])
    special = {entry["content"]: entry for entry in found.get("added_tokens") or []}
    vocabulary |= {text: entry["id"] for text, entry in special.items()}
    if max(vocabulary.values(), default=0) >= size:
        raise UnusableModel(
            f"The tokenizer knows {max(vocabulary.values()) + 1:,} tokens, the model only "
            f"{size:,}: they do not belong together."
        )
    style = _style(found)
    merges = [entry if isinstance(entry, str) else " ".join(entry) for entry in model["merges"]]
    if style == "characters":
        written, more = _characters(vocabulary, special)
        merges, style = more, "gpt-2"
    else:
        written = {number: text for text, number in vocabulary.items()}
    types = {entry["id"]: _CONTROL if entry["special"] else _USER for entry in special.values()}
    tokens = [written.get(number, f"[PAD{number}]") for number in range(size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(style)
    writer.add_token_list(tokens)
    writer.add_token_types([types.get(n, _NORMAL) if n in written else _USER for n in range(size)])
    writer.add_token_merges(merges)
    _add_special(writer, source, vocabulary)


def _read(source: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((source / "tokenizer.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UnusableModel("The source has no readable tokenizer.json.") from error
    if found.get("model", {}).get("type", "BPE") != "BPE" or "merges" not in found["model"]:
        raise InvalidWork(
            "format", "GGUF takes a byte-pair tokenizer; this one is of another kind."
        )
    return found


def _style(found: dict[str, Any]) -> str:
    """The name that llama.cpp has for how text is cut before pairs are merged."""
    before = found.get("pre_tokenizer")
    if before is None and not found["model"]["merges"]:
        return "characters"
    parts = (before or {}).get("pretokenizers") or [before or {}]
    byte_level = parts[-1]
    if byte_level.get("type") == "ByteLevel" and not byte_level.get("add_prefix_space"):
        if len(parts) == 1 and byte_level.get("use_regex", True):
            return "gpt-2"
        pattern = str(parts[0].get("pattern", {}).get("Regex", ""))
        for start, name in ((_LLAMA3, "llama-bpe"), (_QWEN2, "qwen2")):
            if pattern.startswith(start):
                return name
    raise InvalidWork(
        "format", "GGUF has no name for how this tokenizer cuts text. Use ONNX or safetensors."
    )


def _characters(
    vocabulary: dict[str, int], special: dict[str, Any]
) -> tuple[dict[int, str], list[str]]:
    """Single characters as byte-level tokens; the bytes of one are joined by merges of its own."""
    letters = _letters()
    written, merges = {}, []
    for text, number in vocabulary.items():
        if text in special:
            written[number] = text
            continue
        parts = [letters[byte] for byte in text.encode("utf-8")]
        written[number] = "".join(parts)
        for end in range(1, len(parts)):
            merge = f"{''.join(parts[:end])} {parts[end]}"
            if merge not in merges:
                merges.append(merge)
    return written, merges


def _letters() -> list[str]:
    """The visible letter that stands for each byte in byte-level tokenizers."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) if byte in shown else chr(256 + hidden.index(byte)) for byte in range(256)]


def _add_special(writer: Any, source: Path, vocabulary: dict[str, int]) -> None:
    try:
        config = json.loads((source / "tokenizer_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        config = {}
    adders = {
        "bos_token": writer.add_bos_token_id, "eos_token": writer.add_eos_token_id,
        "unk_token": writer.add_unk_token_id, "pad_token": writer.add_pad_token_id,
    }  # fmt: skip
    for name, add in adders.items():
        text = config.get(name)
        text = text.get("content") if isinstance(text, dict) else text
        if text in vocabulary:
            add(vocabulary[text])
    # Nothing that Slipway trains begins with a mark; what is imported says so itself.
    writer.add_add_bos_token(bool(config.get("add_bos_token", False)))
    template = source / "chat_template.jinja"
    if template.is_file():
        writer.add_chat_template(template.read_text("utf-8"))
    elif isinstance(config.get("chat_template"), str):
        writer.add_chat_template(config["chat_template"])
