"""Text and JSON files: encoding, size, secrets, chat templates, and settings that choose code."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workers.masking import KEY_BEGIN, PATTERNS
from workers.scanning.content import is_pointer, sniff
from workers.scanning.limits import TEMPLATE_BYTES, TEXT_BYTES, VOCABULARY_BYTES
from workers.scanning.pickles import pickle_in, pickle_of
from workers.scanning.report import Report

#: Files that are long because a vocabulary is.
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json")
#: Entries that name code to fetch or run, at any depth.
REMOTE = (
    "auto_map",
    "trust_remote_code",
    "custom_pipelines",
    "custom_code_revision",
    "auto_mapping",
)
#: Entries that choose kernels or formats of weights that Slipway does not run.
CHOOSING = ("attn_implementation", "quantization_config", "experts_implementation")
#: Entries beginning with an underscore that old releases wrote and nobody reads.
HARMLESS = (
    "_name_or_path", "_commit_hash", "_num_labels", "_from_model_config", "_diffusers_version",
    "_sliding_window_pattern",
)  # fmt: skip
DEPTH = 60
#: Signs of secrets whose form alone tells; a vocabulary holds words like "password" by itself.
CERTAIN = ("slip_", "akia", "asia", "aiza", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_",
           "glpat-", "xox", "sk-", "hf_", "eyj", "://")  # fmt: skip


def check_text(path: Path, name: str, report: Report) -> str | None:
    """The text of a file that is plain text within bounds; otherwise None, and why is reported."""
    last = name.rsplit("/", 1)[-1]
    most = VOCABULARY_BYTES if last in VOCABULARIES else TEXT_BYTES
    size = path.stat().st_size
    with path.open("rb") as file:
        if is_pointer(file.read(64)):
            report.add("text.pointer", name, "The file holds a pointer, not its content.")
            return None
        file.seek(0)
        known = sniff(file)
        data = file.read(most + 1)
    hidden = pickle_of(data[: 1 << 20])
    if hidden:
        report.add("code.pickle", name, f"It is no text file. {hidden}")
        return None
    if known:
        report.add(known[0], name, f"It is {known[1]}.")
        return None
    if len(data) > most:
        report.add("text.large", name, f"It has {size:,} bytes; the most are {most:,}.")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        report.add("text.encoding", name, f"Byte {error.start:,} is not UTF-8.")
        return None
    if "\0" in text:
        report.add("text.encoding", name, f"Byte {data.index(0):,} is zero, as in no text.")
        return None
    if last not in VOCABULARIES:
        _secrets(text, name, report)
    return text


def _secrets(text: str, name: str, report: Report) -> None:
    for number, line in enumerate(text.splitlines(), 1):
        found = _secret_in(line)
        if found:
            report.add("text.secret", name, f"Line {number:,}: {found}.")
            return


def _secret_in(line: str) -> str:
    """What kind of secret a line holds, without the secret itself."""
    if KEY_BEGIN.search(line):
        return "a private key"
    low = line.lower()
    for sign in CERTAIN:
        if sign in low and any(pattern.search(low) for pattern, _ in PATTERNS[sign]):
            return "a password in an address" if sign == "://" else f"a key that begins with {sign}"
    return ""


def check_json(path: Path, name: str, report: Report) -> Any:
    """The value of a JSON file, with every entry looked at; None where it cannot be used."""
    text = check_text(path, name, report)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        report.add("text.json", name, f"{str(error)[:200] or 'It is nested too deep'}.")
        return None
    if value is None:
        report.add("text.json", name, "It holds nothing (null).")
    if name.rsplit("/", 1)[-1] not in VOCABULARIES:
        _entries(value, name, report)
    return value


def _entries(value: Any, name: str, report: Report) -> None:
    for key, place, entry in walk(value):
        if key in REMOTE and entry not in (None, False, {}, []):
            report.add("code.remote", name, f"The entry {place} is {_short(entry)}.")
        elif key in CHOOSING and entry is not None:
            report.add("code.setting", name, f"The entry {place} is {_short(entry)}.")
        elif key.startswith("_") and key not in HARMLESS and "weight_map" not in place:
            report.add(
                "code.setting", name, f"The entry {place} is not one that is read from files."
            )


def walk(value: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, str, Any]]:
    """(key, dotted place, value) of every entry of every object."""
    if depth > DEPTH:
        return
    if isinstance(value, dict):
        for key, entry in value.items():
            here = f"{place}.{key}"[-120:].lstrip(".")
            yield str(key), here, entry
            yield from walk(entry, here, depth + 1)
    elif isinstance(value, list):
        for entry in value[:10_000]:
            yield from walk(entry, place, depth + 1)


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:120]


def check_template(text: str, name: str, report: Report) -> None:
    """A Jinja chat template: it parses, it is short, and it reaches for nothing inside Python."""
    from jinja2 import TemplateError, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if len(text.encode()) > TEMPLATE_BYTES:
        said = f"It has {len(text.encode()):,} bytes; the most are {TEMPLATE_BYTES:,}."
        report.add("model.template", name, said)
        return
    try:
        environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
        tree = environment.parse(re.sub(r"{%-?\s*(end)?generation\s*-?%}", "", text))
    except (TemplateError, RecursionError, ValueError, OverflowError) as error:
        report.add("model.template", name, f"It is not valid: {str(error)[:200]}.")
        return
    for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Name, nodes.Include)):
        reached = _reached(node)
        if reached:
            report.add("model.template_reach", name, f"Line {node.lineno}: {reached[:80]}.")
            return


def _reached(node: Any) -> str:
    from jinja2 import nodes

    if isinstance(node, nodes.Getattr):
        return node.attr if node.attr.startswith("__") else ""
    if isinstance(node, nodes.Getitem):
        key = node.arg.value if isinstance(node.arg, nodes.Const) else ""
        return key if isinstance(key, str) and key.startswith("__") else ""
    if isinstance(node, nodes.Name):
        return node.name if node.name in ("lipsum", "cycler", "joiner") else ""
    return "an include"


def check_pieces(path: Path, name: str, report: Report) -> None:
    """tokenizer.model: a bounded protobuf message of pieces, walked field by field."""
    size = path.stat().st_size
    if size > TEXT_BYTES:
        report.add("text.large", name, f"It has {size:,} bytes; the most are {TEXT_BYTES:,}.")
        return
    data = path.read_bytes()
    if is_pointer(data[:64]):
        report.add("text.pointer", name, "The file holds a pointer, not its content.")
        return
    if not _is_pieces(data):
        with path.open("rb") as file:
            hidden = pickle_in(file)
        if hidden:
            report.add("code.pickle", name, str(hidden))
        else:
            report.add("files.unknown", name, "It is not a SentencePiece model.")


def _is_pieces(data: bytes) -> bool:
    """Whether the bytes are one message whose first field is a list of pieces (field 1)."""
    at, pieces = 0, 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if at < 0 or not number:
            return False
        if wire == 0:
            _value, at = _varint(data, at)
        elif wire == 2:
            length, at = _varint(data, at)
            at = at + length if at >= 0 else -1
        else:
            at = at + {1: 8, 5: 4}.get(wire, len(data) + 1)
        if at < 0 or at > len(data):
            return False
        pieces += number == 1 and wire == 2
    return pieces > 0


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while 0 <= at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    return 0, -1
