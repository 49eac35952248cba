"""What is done to a text before it is kept, and what two texts have in common if they are equal."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff]")
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200a\u3000]{2,}|[\t\u00a0\u2000-\u200a\u3000]")
_LINE_ENDS = re.compile(r" +(?=\n)|\n(?=\n\n)")


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """Which of the changes are made."""

    unicode: str = "nfc"
    control_characters: str = "remove"
    whitespace: str = "keep"


def clean(text: str, how: Cleaning) -> str:
    """The text as it is kept."""
    if how.unicode != "keep" and not text.isascii():
        form: Literal["NFC", "NFKC"] = "NFKC" if how.unicode == "nfkc" else "NFC"
        if not unicodedata.is_normalized(form, text):
            text = unicodedata.normalize(form, text)
    if how.control_characters == "remove":
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = _CONTROL.sub("", text)
    if how.whitespace == "collapse":
        text = _LINE_ENDS.sub("", _SPACES.sub(" ", text)).strip()
    return text


def normalised(text: str) -> str:
    """What makes two texts the same: their characters but for case, form and white space."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.lower().split())


def text_digest(norm: str) -> bytes:
    """Sixteen bytes of SHA-256 of a normalised text: the chance of an accident is nil."""
    return hashlib.sha256(norm.encode("utf-8", "surrogatepass")).digest()[:16]
