"""How lists of the API are cut into pages: by a cursor, newest first."""

from base64 import b64decode
from typing import Any
from urllib.parse import parse_qs

from django.utils.translation import gettext as _
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from models_app.core.errors import FieldError

#: The largest id that a table can have.
LARGEST = 2**63 - 1


class Page(CursorPagination):
    """50 rows unless `page_size` asks for another number, at most 200."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200

    def decode_cursor(self, request: Request) -> Any:
        """The place in the list; FieldError for a cursor that no answer has ever held."""
        text = request.query_params.get(self.cursor_query_param)
        if text is not None and not _ours(text):
            raise FieldError("cursor", _("Take the cursor from the `next` of an earlier answer."))
        return super().decode_cursor(request)

    def get_page_size(self, request: Request) -> int | None:
        """The number asked for; FieldError if it is none."""
        text = request.query_params.get(self.page_size_query_param or "")
        if text is not None and not (_number(text) and int(text)):
            said = _("Use a whole number from 1 to %(most)s.") % {"most": self.max_page_size}
            raise FieldError("page_size", said)
        return super().get_page_size(request)


def _ours(cursor: str) -> bool:
    try:
        parts = parse_qs(b64decode(cursor, validate=True).decode("ascii"), keep_blank_values=True)
    except ValueError:
        return False
    places = parts.get("p", [])
    return bool(parts) and all(_number(text) and int(text) <= LARGEST for text in places)


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 19
