"""Atoms of the design system as template tags: icon, state badge, bar, spark line, person, card.

Atoms are simple tags, one-slot molecules are simple block tags, larger pieces are includes in
templates/components. No tag writes a style attribute: widths are SVG attributes, so that pages
work under `style-src 'self'`. Words and numbers (ago, bytes, count, duration) are in `figures`.
"""

from collections.abc import Sequence
from typing import Any

from django import template
from django.forms import BoundField
from django.http import QueryDict
from django.template import Context
from django.templatetags.static import static
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from console.pages import figures
from console.pages.navigation import url_or_none
from console.pages.states import Look, kind_of, look_of
from models_app.jobs.kind import job_kinds

register = template.Library()
register.filter("bytes", figures.size)
register.filter("count", figures.count)
register.filter("duration", figures.duration)
register.filter("figure", figures.figure)
register.filter("percent", figures.percent)
register.filter("share", figures.share)
register.filter("signed", figures.signed)
register.simple_tag(figures.ago, name="ago")
register.simple_tag(figures.moment, name="moment")


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """One symbol of the sprite; decorative, so the word beside it must say the same."""
    return format_html(
        '<svg class="i {}" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        css,
        static("vendor/icons.svg"),
        name.replace(".", "-"),
    )


def _look(row: Any, kind: str, label: str | None) -> tuple[Look, str]:
    """Look and word for a state name or for anything with a `state` field."""
    value = getattr(row, "state", row)
    look = look_of(str(value), kind or kind_of(row))
    display = getattr(row, "get_state_display", None)
    if not label and display is not None:
        # A choices label in plain English is translated here; a translated one passes unchanged.
        label = gettext(str(display()))
    return look, str(label or look.label)


@register.simple_tag
def state(row: Any, kind: str = "", label: str | None = None) -> SafeString:
    """A state badge: icon, word and tone. Takes an object, or a state's name and its kind."""
    look, word = _look(row, kind, label)
    live = "state-live" if look.live else ""
    badge = '<span class="state tone-{} {}">{}{}</span>'
    return format_html(badge, look.tone, live, icon(look.icon), word)


@register.simple_tag
def state_icon(row: Any, kind: str = "", label: str | None = None) -> SafeString:
    """Only the icon of a state; the word is in the title and for screen readers."""
    look, word = _look(row, kind, label)
    return format_html(
        '<span class="state-icon tone-{}" title="{}">{}'
        '<span class="visually-hidden">{}</span></span>',
        look.tone,
        word,
        icon(look.icon),
        word,
    )


def _percentage(value: Any) -> str:
    return f"{min(100.0, max(0.0, float(value or 0))):.2f}".rstrip("0").rstrip(".") or "0"


@register.simple_tag
def bar(
    value: Any, label: str, tone: str = "blue", second: Any = None, css: str = ""
) -> SafeString:
    """A meter; value and second (drawn behind the first) are percentages, None counts as 0."""
    extra: str = ""
    if second is not None:
        behind = '<rect class="bar-2" x="{}%" width="{}%" height="100%"/>'
        extra = format_html(behind, _percentage(value), _percentage(second))
    return format_html(
        '<svg class="bar {} tone-{}" role="img" aria-label="{}">'
        '<rect class="bar-0" width="100%" height="100%"/>'
        '<rect class="bar-1" width="{}%" height="100%"/>{}</svg>',
        css,
        tone,
        label,
        _percentage(value),
        extra,
    )


@register.simple_tag
def spark(values: Sequence[float], label: str, tone: str = "blue") -> SafeString:
    """A server-rendered spark line, 96 by 28; nothing is drawn for fewer than two values."""
    numbers = [float(value) for value in values or ()]
    if len(numbers) < 2:
        return format_html('<span class="faint">{}</span>', "–")
    low, step = min(numbers), 96 / (len(numbers) - 1)
    span = (max(numbers) - low) or 1
    points = " ".join(
        f"{place * step:.1f},{25 - (number - low) / span * 21:.1f}"
        for place, number in enumerate(numbers)
    )
    return format_html(
        '<svg class="spark tone-{}" viewBox="0 0 96 28" preserveAspectRatio="none" role="img"'
        ' aria-label="{}"><polygon class="spark-area" points="0,28 {} 96,28"/>'
        '<polyline class="spark-line" points="{}"/></svg>',
        tone,
        label,
        points,
        points,
    )


@register.simple_tag
def columns(values: Sequence[float], label: str, tone: str = "blue") -> SafeString:
    """A server-rendered histogram: a column each, the highest as high as the picture."""
    numbers = [float(value) for value in values or ()]
    most = max(numbers, default=0) or 1
    drawn = format_html_join(
        "",
        '<rect class="bar-1" x="{}" y="{}" width="0.84" height="{}"/>',
        (
            (f"{place + 0.08:.2f}", f"{40 - 40 * number / most:.2f}", f"{40 * number / most:.2f}")
            for place, number in enumerate(numbers)
        ),
    )
    return format_html(
        '<svg class="columns tone-{}" viewBox="0 0 {} 40" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>',
        tone,
        max(1, len(numbers)),
        label,
        drawn,
    )


@register.simple_tag
def limit_bar(value: Any, limit: Any, label: str, tone: str = "blue") -> SafeString:
    """A meter with a mark for what is allowed; both in percent of its length."""
    return format_html(
        '<svg class="bar bar-lg tone-{}" role="img" aria-label="{}">'
        '<rect class="bar-0" width="100%" height="100%"/>'
        '<rect class="bar-1" width="{}%" height="100%"/>'
        '<rect class="bar-mark" x="{}%" width="2" height="100%"/></svg>',
        tone,
        label,
        _percentage(value),
        _percentage(limit),
    )


@register.filter
def display_name(user: Any) -> str:
    """What a person is called: the name if there is one, else the sign-in name."""
    if not user:
        return "–"
    if isinstance(user, str):
        return user
    full = getattr(user, "name", "") or getattr(user, "get_full_name", str)()
    return str(full or user)


@register.filter
def initials(user: Any) -> str:
    """The letters in a person's disc."""
    words = display_name(user).replace(".", " ").split("@")[0].split()[:2]
    return "".join(word[0] for word in words).upper() or "?"


@register.simple_tag
def person(user: Any, size: str = "sm", named: bool = False) -> SafeString:
    """A disc with initials; `named=True` writes the name beside it."""
    name = display_name(user)
    disc = '<span class="who who-{} who-{}" aria-hidden="true">{}</span>'
    mark = format_html(disc, size, sum(map(ord, name)) % 6, initials(name))
    return format_html('<span class="who-line">{}{}</span>', mark, name) if named else mark


@register.simple_tag
def keys(*names: str) -> SafeString:
    """Keyboard keys."""
    return format_html_join("", "<kbd>{}</kbd>", ((name,) for name in names))


@register.simple_block_tag
def card(
    content: str, title: str = "", css: str = "", tools: str = "", id: str = "", body: bool = False
) -> SafeString:
    """A panel with a head; `tools` is safe markup at its right, `body=True` adds the padding."""
    head: str = ""
    if title:
        side = (
            format_html('<div class="panel-tools">{}</div>', conditional_escape(tools))
            if tools
            else ""
        )
        head = format_html('<header class="panel-head"><h2>{}</h2>{}</header>', title, side)
    inner = format_html('<div class="panel-body">{}</div>', content) if body else content
    anchor = format_html(' id="{}"', id) if id else ""
    return format_html('<section class="panel {}"{}>{}{}</section>', css, anchor, head, inner)


@register.simple_tag
def empty(name: str, title: str, text: str = "", action: str = "", href: str = "") -> SafeString:
    """Nothing here: icon, what belongs here, why it is empty, and the one button."""
    button = (
        format_html('<a class="btn btn-primary" href="{}">{}</a>', href, action) if href else ""
    )
    return format_html(
        '<div class="empty-state">{}<h2>{}</h2><p>{}</p>{}</div>', icon(name), title, text, button
    )


@register.simple_tag(takes_context=True)
def query(context: Context, **changes: Any) -> str:
    """The page's query string with some parameters set, or removed where the value is None."""
    request = context.get("request")
    parameters = request.GET.copy() if request is not None else QueryDict(mutable=True)
    for name, value in changes.items():
        if value is None or value == "":
            parameters.pop(name, None)
        elif isinstance(value, list | tuple):
            parameters.setlist(name, [str(part) for part in value])
        else:
            parameters[name] = str(value)
    return "?" + parameters.urlencode()


@register.simple_tag
def url_if(name: str, *args: Any) -> str:
    """The address of a page, or an empty string while that page does not exist."""
    return url_or_none(name, *args) or ""


@register.filter
def field_kind(field: BoundField) -> str:
    """How a form field is laid out: check, choices, file or plain."""
    widget = field.field.widget
    inner = getattr(widget, "input_type", "")
    if inner == "checkbox" and not getattr(widget, "allow_multiple_selected", False):
        return "check"
    if inner in ("radio", "checkbox"):
        return "choices"
    return "file" if inner == "file" else "plain"


@register.filter
def choice_control(option: Any) -> SafeString:
    """One radio button or check box of a group, in the classes of the design system."""
    option.data["attrs"]["class"] = "form-check-input"
    return SafeString(option.tag())


@register.simple_tag
def control(field: BoundField) -> SafeString:
    """The widget of a form field in the classes of the design system."""
    kind = field_kind(field)
    widget = field.field.widget
    if kind in ("check", "choices"):
        css = "form-check-input"
    else:
        css = "form-select" if getattr(widget, "input_type", "") == "select" else "form-control"
    own = widget.attrs.get("class", "")
    invalid = "is-invalid" if field.errors else ""
    attrs: dict[str, str | bool] = {"class": " ".join(filter(None, (css, own, invalid)))}
    return field.as_widget(attrs=attrs)


@register.filter
def kind_label(name: str) -> str:
    """What a job kind is called; its bare name where the kind is not known here any more."""
    return gettext(str(job_kinds.get(name).label)) if name in job_kinds else name
