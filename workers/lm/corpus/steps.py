"""What happens to each document by itself on its way into a prepared version."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workers.lm.corpus import personal
from workers.lm.corpus.languages import language_of
from workers.lm.corpus.stored import Row
from workers.lm.corpus.texts import Cleaning, clean
from workers.lm.tokenizers.markers import conversation_text

#: The steps in which a document can be lost, in the order in which they are taken.
STEPS = ("schema", "clean", "length", "language", "personal_data", "exact", "near")


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """The settings of a preparation; the names are those of the configuration kind `data`."""

    unicode: str = "nfc"
    control_characters: str = "remove"
    whitespace: str = "keep"
    min_characters: int = 1
    max_characters: int | None = None
    longer: str = "drop"
    languages: tuple[str, ...] = ()
    personal_data: str = "keep"
    personal_kinds: tuple[str, ...] = personal.KINDS
    exact_duplicates: str = "drop"
    near_duplicates: str = "drop"
    near_threshold: float = 0.8
    near_width: int = 16
    split: str = "anew"
    validation_fraction: float = 0.1
    seed: int = 1337
    shard_mib: int = 64
    tokenizer: str = "none"
    vocab_size: int = 4096

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "PrepareOptions":
        """From a stored configuration; what belongs to others is passed over."""
        known = {name: plain[name] for name in cls.__dataclass_fields__ if name in plain}
        for name in ("languages", "personal_kinds"):
            if name in known:
                known[name] = tuple(known[name])
        return cls(**known)

    @property
    def cleaning(self) -> Cleaning:
        """The part that `texts.clean` needs."""
        return Cleaning(
            unicode=self.unicode,
            control_characters=self.control_characters,
            whitespace=self.whitespace,
        )


@dataclass(slots=True)
class Kept:
    """A document after its steps: what is stored of it, its text, and what was done."""

    record: dict[str, Any]
    text: str
    changed: bool = False
    redacted: int = 0


@dataclass(kw_only=True)
class Tally:
    """How many documents each step has taken away or changed."""

    seen: int = 0
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STEPS, 0))
    changed: dict[str, int] = field(
        default_factory=lambda: {"clean": 0, "length": 0, "personal_data": 0}
    )
    redacted: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "seen": self.seen, "dropped": dict(self.dropped), "changed": dict(self.changed),
            "redacted": self.redacted,
        }  # fmt: skip

    @property
    def worst(self) -> str:
        """The step that took the most away."""
        return max(self.dropped, key=lambda step: self.dropped[step])


class DocumentSteps:
    """Cleans, filters and redacts one document after the other."""

    def __init__(self, options: PrepareOptions) -> None:
        self._options, self._cleaning = options, options.cleaning
        self.tally = Tally()

    def take(self, row: Row) -> Kept | str:
        """The document as it is kept, or the step that drops it."""
        self.tally.seen += 1
        kept = self._taken(row)
        if isinstance(kept, str):
            self.tally.dropped[kept] += 1
        return kept

    def _taken(self, row: Row) -> Kept | str:
        if row.problem:
            return "schema"
        kept = self._cleaned(row)
        if not kept.text.strip():
            return "clean"
        if not self._fits(kept):
            return "length"
        languages = self._options.languages
        if languages and language_of(kept.text) not in languages:
            return "language"
        if self._options.personal_data != "keep" and not self._without_personal(kept):
            return "personal_data"
        return kept

    def _cleaned(self, row: Row) -> Kept:
        if row.kind == "text":
            text = clean(row.text, self._cleaning)
            kept = Kept({"text": text}, text, text != row.text)
        else:
            messages = [
                {"role": part["role"], "content": clean(_whole(part["content"]), self._cleaning)}
                for part in row.record["messages"]
            ]
            text = conversation_text(messages)
            kept = Kept({"messages": messages}, text, text != row.text)
        self.tally.changed["clean"] += kept.changed
        return kept

    def _fits(self, kept: Kept) -> bool:
        length, most = len(kept.text), self._options.max_characters
        if length < self._options.min_characters:
            return False
        if most is None or length <= most:
            return True
        # A conversation without its end would teach half an answer.
        if self._options.longer == "drop" or "messages" in kept.record:
            return False
        kept.text = kept.text[:most].rstrip()
        kept.record["text"] = kept.text
        self.tally.changed["length"] += 1
        return bool(kept.text)

    def _without_personal(self, kept: Kept) -> bool:
        found = personal.find(kept.text, self._options.personal_kinds)
        if not found:
            return True
        if self._options.personal_data == "drop":
            return False
        kept.redacted = len(found)
        if "messages" in kept.record:
            for part in kept.record["messages"]:
                inside = personal.find(part["content"], self._options.personal_kinds)
                part["content"] = personal.redact(part["content"], inside)
            kept.text = conversation_text(kept.record["messages"])
        else:
            kept.text = personal.redact(kept.text, found)
            kept.record["text"] = kept.text
        self.tally.changed["personal_data"] += 1
        self.tally.redacted += len(found)
        return True


def json_line(record: Mapping[str, Any]) -> bytes:
    """A record as it is stored."""
    return (json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
