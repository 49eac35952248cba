"""What the words of a card may be, so that clients of the Hub take them."""

import re
from typing import Any

from django.utils.translation import gettext as _

from models_app.core.errors import FieldError
from models_app.core.names import clean_text

MOST_BODY = 100_000
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:+-]{0,59}")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,79}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def words_checked(
    *, body: str, license: str, languages: list[str], tags: list[str]
) -> dict[str, Any]:
    """The words as they are kept; FieldError for a licence, language or tag that is none."""
    return {
        "license": _matching("license", license.strip().lower(), _LICENSE) if license else "",
        "languages": [_matching("languages", word, _LANGUAGE) for word in languages],
        "tags": sorted({_matching("tags", word, _WORD) for word in tags}),
        "body": clean_text(body, "body", limit=MOST_BODY).replace("\r\n", "\n").strip(),
    }


def _matching(field: str, word: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(word):
        said = {
            "license": _("Use the short name of a licence, such as apache-2.0."),
            "languages": _("Use codes of languages, such as en or zh."),
            "tags": _("Use letters, digits, spaces and . _ : + - in a tag, at most 60."),
        }[field]
        raise FieldError(field, said)
    return word
