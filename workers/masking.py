"""Takes secrets out of what a job says, before it is stored.

Known forms (our tokens, bearer tokens, passwords and keys after their name, passwords in URLs, keys
of the common clouds, private keys) and the values that the job was given as secrets. A batch whose
bytes contain none of the signs is not looked at any closer.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

MASK = "[masked]"
#: What may follow the name of a secret, up to its value.
_NAMED = r"""(?:[_-]?\w{1,20})?["']?\s{0,8}[=:]\s{0,8}"""
_VALUE = r"""("[^"]*"|'[^']*'|[^\s,;&"')}\]]+)"""
_KEY_OF = tuple(
    f"{what}{joint}"
    for what in ("api", "access", "secret", "private", "signing")
    for joint in ("", "_", "-")
)
_TOKEN_OF = ("auth_", "access_", "refresh_", "id_", "api_", "auth-", "access-", "refresh-")
#: Sign -> the forms that begin with it, in small letters; their group is the secret. Each begins
#: with plain letters, which lets `re` jump to them.
FORMS = {
    "://": [r"://[^\s/:@]{0,200}:([^\s/@]{1,500})@"],
    "authorization": [
        r"""authorization["']?\s{0,8}[=:]\s{0,8}["']?(?:(?:bearer|basic|token)\s+)?([^\s"']+)"""
    ],
    "bearer": [r"bearer\s+(?=\S*[\d._-])([\w.~+/=-]{8,})"],
    "passw": [rf"passw(?:or)?d{_NAMED}{_VALUE}"],
    "passphrase": [rf"passphrase{_NAMED}{_VALUE}"],
    "secret": [rf"secret{_NAMED}{_VALUE}"],
    "key": [rf"key{_NAMED}{_VALUE}"],
    "token": [
        rf"token{_NAMED}{_VALUE}",
        r"""token["']?\s{0,8}[=:]\s{0,8}["']?(?!\d+\b)([\w.~+/=-]{8,})""",
    ],
    "slip_": [r"(slip_[\w-]{8,})"],
    "akia": [r"(akia[0-9a-z]{16})\b"],
    "asia": [r"(asia[0-9a-z]{16})\b"],
    "aiza": [r"(aiza[\w-]{35})"],
    **{f"gh{kind}_": [rf"(gh{kind}_[a-z0-9]{{20,}})"] for kind in "posur"},
    "github_pat_": [r"(github_pat_\w{20,})"],
    "glpat-": [r"(glpat-[\w-]{20,})"],
    "xox": [r"(xox[abeoprs]-[\w-]{10,})"],
    "sk-": [r"(?<!\w)(sk-[\w-]{20,})"],
    "hf_": [r"(hf_[a-z0-9]{20,})"],
    "eyj": [r"(eyj[\w-]{10,}\.[\w-]{10,}\.[\w-]+)"],
}
#: Forms that count only behind one of these.
BEHIND = {FORMS["key"][0]: _KEY_OF, FORMS["token"][0]: _TOKEN_OF}
PATTERNS = {
    sign: [(re.compile(form), BEHIND.get(form)) for form in forms] for sign, forms in FORMS.items()
}
ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
KEY_BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----")
KEY_BLOCK = re.compile(
    KEY_BEGIN.pattern + r".*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)", re.DOTALL
)
KEY_END = "-----END"
#: A key that never ends does not hide the rest of the log.
KEY_LINES = 200
SECRET_NAMES = re.compile(r"secret|token|password|api_?key", re.IGNORECASE)


class Masker:
    """Masks lines in the order in which they were said."""

    def __init__(self) -> None:
        self.known: tuple[str, ...] = ()
        self._hot: tuple[str, ...] = ()
        self._is_known = False
        self.key_lines = 0

    def know(self, secrets: Iterable[str]) -> None:
        """Values to mask wherever they stand."""
        # The longest first: one may be a part of another.
        self.known = tuple(sorted({s for s in secrets if len(s) >= 8}, key=len, reverse=True))

    def look(self, said: str) -> bool:
        """Look over some lines at once; whether they must be given to `mask` at all."""
        low = said.lower()
        self._hot = tuple(sign for sign in PATTERNS if sign in low)
        self._is_known = any(secret in said for secret in self.known)
        return bool(self._hot or self._is_known or self.key_lines)

    def mask(self, text: str) -> str:
        """The text without what is secret in it."""
        if self.key_lines:
            return self._inside_key(text)
        if self._is_known:
            for secret in self.known:
                text = text.replace(secret, MASK)
        if "-----BEGIN" in text and KEY_BEGIN.search(text):
            return self._key(text)
        return masked(text, self._hot)

    def mask_alone(self, text: str) -> str:
        """The same of a text that stands for itself: no line of the log goes on from it."""
        lines, self.key_lines = self.key_lines, 0
        found = self.mask(text)
        self.key_lines = lines
        return found

    def _key(self, text: str) -> str:
        rest = KEY_BLOCK.sub("", text)
        last = list(KEY_BEGIN.finditer(text))[-1]
        if KEY_END not in text[last.end() :]:
            self.key_lines = KEY_LINES
        return f"{masked(rest, self._hot)}{MASK}"

    def _inside_key(self, text: str) -> str:
        at = text.find(KEY_END)
        self.key_lines = 0 if at >= 0 else self.key_lines - 1
        return MASK


def masked(text: str, signs: Iterable[str]) -> str:
    """The text without secrets of the forms that these signs announce."""
    low = text.lower()
    if len(low) != len(text):
        # A few capitals grow in small letters; then only those of ASCII are made small.
        low = text.translate(ASCII_LOWER)
    spans = [span for sign in signs if sign in low for span in _secret_spans(low, sign)]
    if not spans:
        return text
    shown, at = [], 0
    for start, end in sorted(spans):
        if start >= at:
            shown += [text[at:start], MASK]
        at = max(at, end)
    return "".join([*shown, text[at:]])


def secret_spans(text: str) -> list[tuple[int, int]]:
    """Where secrets of the known forms stand in a text, in order, private keys included."""
    low = text.lower()
    if len(low) != len(text):
        low = text.translate(ASCII_LOWER)
    spans = [span for sign in PATTERNS if sign in low for span in _secret_spans(low, sign)]
    if "-----BEGIN" in text:
        spans += [found.span() for found in KEY_BLOCK.finditer(text)]
    return sorted(spans)


def _secret_spans(low: str, sign: str) -> Iterator[tuple[int, int]]:
    for pattern, behind in PATTERNS[sign]:
        for found in pattern.finditer(low):
            if behind is None or low.endswith(behind, 0, found.start()):
                yield found.span(1)


def begins_inside_key(before: bytes) -> bool:
    """Whether what follows these bytes of a spool is the middle of a private key."""
    text = before.decode("utf-8", "replace")
    begins = list(KEY_BEGIN.finditer(text))
    return bool(begins) and KEY_END not in text[begins[-1].end() :]


def secrets_given(folder: Path) -> list[str]:
    """The secret values among the inputs of the attempt whose folder this is."""
    try:
        given = json.loads((folder / "job.json").read_text())
    except (OSError, ValueError):
        return []
    return list(_secrets_in(given.get("inputs")))


def _secrets_in(value: Any, named: bool = False) -> Iterable[str]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _secrets_in(part, named or bool(SECRET_NAMES.search(str(name))))
    elif isinstance(value, list):
        for part in value:
            yield from _secrets_in(part, named)
    elif named and isinstance(value, str):
        yield value
