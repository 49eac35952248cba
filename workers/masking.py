"""Takes secrets out of what a job says, before it is stored.

Known forms (our tokens, bearer tokens, passwords and keys after their name, passwords in URLs, keys
of the common clouds, private keys) and the values that the job was given as secrets. A batch whose
bytes contain none of the signs is not looked at any closer.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MASK = "[masked]"
#: A secret of the forms below contains one of these, in small letters.
SIGNS = (
    "://", "slip_", "bearer", "authorization", "passw", "passphrase", "secret", "token", "key",
    "akia", "asia", "aiza", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "xox",
    "sk-", "hf_", "eyj",
)  # fmt: skip
SIGN_BYTES = tuple(sign.encode() for sign in SIGNS)
VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s,;&"')}\]]+)"""
#: What stands in a named group is kept.
SECRET = re.compile(
    rf"""
      (?P<url>[a-z][a-z0-9+.-]{{1,20}}://[^\s/:@]{{0,200}}:)[^\s/@]{{1,500}}(?=@)
    | (?P<auth>authorization["']?\s*[=:]\s*["']?(?:(?:bearer|basic|token)\s+)?)[^\s"']+
    | (?P<bearer>\bbearer\s+)(?=\S*[\d._-])[\w.~+/=-]{{8,}}
    | (?P<pair>(?:passw(?:or)?d|passphrase|secret|(?:api|access|secret|private|signing)[_-]?key
        |(?:auth|access|refresh|id|api)[_-]?token)(?:[_-]?\w{{1,20}})?["']?\s{{0,8}}[=:]\s{{0,8}})
        {VALUE}
    | (?P<token>\btoken["']?\s{{0,8}}[=:]\s{{0,8}}["']?)(?!\d+\b)[\w.~+/=-]{{8,}}
    | \bslip_[\w-]{{8,}}
    | \b(?:AKIA|ASIA)[0-9A-Z]{{16}}\b
    | \bAIza[\w-]{{35}}
    | \bgh[pousr]_[A-Za-z0-9]{{20,}} | \bgithub_pat_\w{{20,}} | \bglpat-[\w-]{{20,}}
    | \bxox[abeoprs]-[\w-]{{10,}} | \bsk-[\w-]{{20,}} | \bhf_[A-Za-z0-9]{{20,}}
    | \beyJ[\w-]{{10,}}\.[\w-]{{10,}}\.[\w-]+
    """,
    re.IGNORECASE | re.VERBOSE,
)
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
        self._known_bytes: tuple[bytes, ...] = ()
        self._hot: tuple[str, ...] = ()
        self._is_known = False
        self.key_lines = 0

    def know(self, secrets: Iterable[str]) -> None:
        """Values to mask wherever they stand."""
        # The longest first: one may be a part of another.
        self.known = tuple(sorted({s for s in secrets if len(s) >= 8}, key=len, reverse=True))
        self._known_bytes = tuple(json.dumps(s)[1:-1].encode() for s in self.known)

    def look(self, data: bytes) -> bool:
        """Look over a part of the spool; whether its lines must be given to `mask` at all."""
        low = data.lower()
        self._hot = tuple(sign for sign, code in zip(SIGNS, SIGN_BYTES, strict=True) if code in low)
        self._is_known = any(code in data for code in self._known_bytes) or any(
            secret.encode("utf-8", "replace") in data for secret in self.known
        )
        return bool(self._hot or self._is_known or self.key_lines)

    def mask(self, text: str) -> str:
        """The text without what is secret in it."""
        if self.key_lines:
            return self._inside_key(text)
        if self._is_known:
            for secret in self.known:
                text = text.replace(secret, MASK)
        low = text.lower()
        if not any(sign in low for sign in self._hot):
            return text
        if KEY_BEGIN.search(text):
            return self._key(text)
        return SECRET.sub(_masked, text)

    def _key(self, text: str) -> str:
        rest = KEY_BLOCK.sub("", text)
        last = list(KEY_BEGIN.finditer(text))[-1]
        if KEY_END not in text[last.end() :]:
            self.key_lines = KEY_LINES
        return f"{SECRET.sub(_masked, rest)}{MASK}"

    def _inside_key(self, text: str) -> str:
        at = text.find(KEY_END)
        self.key_lines = 0 if at >= 0 else self.key_lines - 1
        return MASK


def _masked(found: re.Match[str]) -> str:
    kept = found[found.lastgroup] if found.lastgroup else ""
    return f"{kept}{MASK}"


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
