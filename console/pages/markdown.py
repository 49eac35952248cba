"""Markdown of people as safe HTML: no HTML of their own, no pictures, no styles, no scripts."""

from typing import Any

from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

_PARSER = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")
_PARSER.disable("image")
# A wide table scrolls by itself, also by keyboard; the page around it stays as wide as the screen.
_TABLE = '<div class="tbl-wrap" tabindex="0"><table class="tbl">\n'
_PARSER.add_render_rule("table_open", lambda *_parts: _TABLE)
_PARSER.add_render_rule("table_close", lambda *_parts: "</table></div>\n")


def markdown(text: str) -> SafeString:
    """Rendered by a library that escapes HTML and refuses addresses that run scripts."""
    tokens = _PARSER.parse(text)
    for token in _all(tokens):
        token.attrs.pop("style", None)  # the alignment of columns; the policy forbids it
        if token.type == "link_open":
            token.attrSet("rel", "nofollow noopener")
    return mark_safe(str(_PARSER.renderer.render(tokens, _PARSER.options, {})))


def _all(tokens: list[Any]) -> Any:
    for token in tokens:
        yield token
        yield from _all(token.children or [])
