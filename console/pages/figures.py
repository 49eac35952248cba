"""Words and numbers as people read them: sizes, counts, durations, times, in their language."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from models_app.core.clock import now

NOTHING = "–"
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def _decimal(value: float, places: int) -> str:
    text = f"{value:.{places}f}"
    return text.replace(".", str(formats.get_format("DECIMAL_SEPARATOR")))


def size(value: Any) -> str:
    """Bytes in the largest unit that keeps a figure in front: 174.6 MiB."""
    if value is None or value == "":
        return NOTHING
    number, unit = float(value), 0
    while abs(number) >= 1024 and unit < len(UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{_decimal(number, 0 if unit == 0 else 1)} {UNITS[unit]}"


def count(value: Any) -> str:
    """A whole number, or one with up to four significant figures, with thousands set apart."""
    if value is None or value == "":
        return NOTHING
    number = float(value)
    if number == int(number):
        text = f"{int(number):,}"
    else:
        text = f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
    whole, _point, part = text.partition(".")
    whole = whole.replace(",", str(formats.get_format("THOUSAND_SEPARATOR")) or ",")
    return f"{whole}{formats.get_format('DECIMAL_SEPARATOR')}{part}" if part else whole


def figure(value: Any) -> str:
    """A figure or setting of a run: four significant figures, tiny ones not rounded to nothing."""
    if isinstance(value, str):
        return value
    number = float(value)
    if number and abs(number) < 0.001:
        return f"{number:.3g}"
    return count(value)


def percent(value: Any, places: int = 0) -> str:
    """A percentage that is already one (68.2 becomes 68%)."""
    return NOTHING if value is None or value == "" else f"{_decimal(float(value), int(places))}%"


def share(value: Any, whole: Any) -> str:
    """A part of a whole in percent: 34 of 80 becomes 42.5%."""
    return percent(100 * float(value) / float(whole), 1) if whole else NOTHING


def signed(value: Any) -> str:
    """A number with its sign, a true minus included."""
    number = float(value)
    if number == 0:
        return "0"
    return f"{'+' if number > 0 else '−'}{count(abs(number))}"


def duration(value: Any) -> str:
    """Seconds or a timedelta as at most two units: 1 h 12 min."""
    if value is None or value == "":
        return NOTHING
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    seconds = max(0.0, seconds)
    if seconds < 1:
        return _("%(n)s ms") % {"n": round(seconds * 1000)}
    if seconds < 10:
        return _("%(n)s s") % {"n": _decimal(seconds, 1)}
    whole = round(seconds)
    steps = ((86400, _("%(n)s d")), (3600, _("%(n)s h")), (60, _("%(n)s min")), (1, _("%(n)s s")))
    parts: list[str] = []
    for length, text in steps:
        amount, whole = divmod(whole, length)
        if amount or parts:
            parts.append(text % {"n": amount} if amount else "")
        if len(parts) == 2:
            break
    return " ".join(filter(None, parts))


def _relative(seconds: float) -> str:
    """How long ago in words, for the first paint; ui.js keeps it current afterwards."""
    future, amount = seconds < 0, abs(seconds)
    if amount < 45:
        return _("in a moment") if future else _("just now")
    minutes, hours, days = round(amount / 60), round(amount / 3600), round(amount / 86400)
    if amount < 3600:
        text = (
            ngettext("in %(n)s minute", "in %(n)s minutes", minutes)
            if future
            else ngettext("%(n)s minute ago", "%(n)s minutes ago", minutes)
        )
        return text % {"n": minutes}
    if amount < 86400:
        text = (
            ngettext("in %(n)s hour", "in %(n)s hours", hours)
            if future
            else ngettext("%(n)s hour ago", "%(n)s hours ago", hours)
        )
        return text % {"n": hours}
    text = (
        ngettext("in %(n)s day", "in %(n)s days", days)
        if future
        else ngettext("%(n)s day ago", "%(n)s days ago", days)
    )
    return text % {"n": days}


def _instant(value: datetime) -> tuple[str, str]:
    aware = value if timezone.is_aware(value) else value.replace(tzinfo=UTC)
    utc = aware.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(value: datetime | None) -> SafeString | str:
    """A relative time with the exact one in its title; ui.js keeps it current."""
    if value is None:
        return NOTHING
    iso, exact = _instant(value)
    words = _relative((now() - value).total_seconds())
    element = '<time datetime="{}" title="{}" data-ago>{}</time>'
    return format_html(element, iso, exact, words)


def moment(value: datetime | None) -> SafeString | str:
    """An exact time; ui.js shows it in the reader's time zone."""
    if value is None:
        return NOTHING
    iso, exact = _instant(value)
    return format_html('<time datetime="{}" title="{}" data-at>{}</time>', iso, exact, exact)
