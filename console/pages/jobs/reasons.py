"""Reasons that jobs keep as plain English, in the language of the reader where we know them."""

import re

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from console.pages.jobs.reason_texts import TEXTS

#: What the queue writes for itself; `%(name)s` is what differs. Anything else is shown as it is.
KNOWN = (
    gettext_noop("Paused by %(who)s."),
    gettext_noop("Cancelled by %(who)s before it ran."),
    gettext_noop("Cancelled by %(who)s."),
    gettext_noop("It gives way to job %(job)s, whose priority is %(priority)s."),
    gettext_noop("Its node is being emptied; it goes on elsewhere from its last checkpoint."),
    gettext_noop("The %(what)s can no longer be used: it was quarantined."),
    gettext_noop(
        "The %(what)s is not what it was when the job was submitted: digest %(old)s then, "
        "%(new)s now. Run it again to use it as it is now."
    ),
    gettext_noop("The %(what)s is no longer there. Choose another one and run it again."),
    gettext_noop("The worker on %(node)s was restarted; the job goes on from its last checkpoint."),
    gettext_noop(
        "The worker on %(node)s (part %(part)s of %(parts)s) stopped answering; the job goes on "
        "from its last checkpoint."
    ),
    gettext_noop(
        "%(node)s (part %(part)s of %(parts)s) has not taken up its part; the job waits for its "
        "nodes again."
    ),
    gettext_noop("On %(node)s: %(what)s"),
)
_PLACE = re.compile(r"%\\\((\w+)\\\)s|%\((\w+)\)s")
#: What stands in these places is a text by itself; `where` may be empty.
_INNER = ("why", "where")


def _pattern(text: str) -> re.Pattern[str]:
    found = _PLACE.sub(r"(?P<\1\2>.+)", re.escape(text)).replace("%%", "%")
    return re.compile(found.replace("(?P<where>.+)", "(?P<where>.*)"), re.DOTALL)


_FORMS = [(_pattern(text), text) for text in (*TEXTS, *KNOWN)]


def said(reason: str) -> str:
    """The reason of a job or a roll-out, translated if Slipway itself wrote it. What follows after
    an empty line, such as the end of a log, stays as it is.
    """
    for pattern, text in _FORMS:
        match = pattern.fullmatch(reason)
        if match:
            found = match.groupdict()
            inner = {name: said(found[name]) for name in _INNER if found.get(name)}
            return _(text) % {**found, **inner}
    head, gap, rest = reason.partition("\n\n")
    return f"{said(head)}{gap}{rest}" if gap else reason
