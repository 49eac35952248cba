"""Names of things that people choose: one rule for teams, datasets, models and deployments."""

import re
import unicodedata
from collections.abc import Iterable

from django.utils.translation import gettext as _

from models_app.core.errors import FieldError

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


def clean_slug(value: str, field: str = "name") -> str:
    """A name that is safe in URLs and paths, or FieldError."""
    if not isinstance(value, str) or not SLUG.fullmatch(value) or ".." in value:
        rule = _(
            "Use 1 to 63 lower-case letters, digits, dots, dashes or underscores, "
            "beginning and ending with a letter or digit."
        )
        raise FieldError(field, rule)
    return value


def clean_title(value: str, field: str = "title", limit: int = 200) -> str:
    """One line of human text without control characters, trimmed, NFC; or FieldError."""
    text = unicodedata.normalize("NFC", value).strip()
    if not text:
        raise FieldError(field, _("Say something here; it is empty."))
    check_length(text, field, limit)
    if any(unicodedata.category(c).startswith("C") for c in text):
        raise FieldError(field, _("Remove the control characters."))
    return text


def clean_text(value: str, field: str, limit: int = 4000) -> str:
    """Several lines of human text: line breaks and tabs are the only control characters kept."""
    text = unicodedata.normalize("NFC", value).replace("\r\n", "\n").strip()
    check_length(text, field, limit)
    if any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in text):
        raise FieldError(field, _("Remove the control characters."))
    return text


def one_of(known: Iterable[str]) -> str:
    """Said of a word that is none of those that are known."""
    return _("Use one of %(known)s.") % {"known": ", ".join(known)}


def check_length(text: str, field: str, limit: int) -> None:
    """FieldError that says how long the text is and how long it may be."""
    if len(text) > limit:
        said = _("At most %(limit)s characters; this has %(n)s.")
        raise FieldError(field, said % {"limit": limit, "n": len(text)})
