"""What Slipway itself says of a node's state, in the language of the reader."""

import re

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_noop as _

from models_app.pools.services.registration import BY_HAND

#: Reasons that are stored in plain English; what people wrote passes unchanged.
REASONS = {
    _("It gives no sign of life."),
    _("It has joined and not started yet."),
    _("It is empty."),
    _("It was shut down."),
}
LOST = re.compile(r"It fell silent together with (\d+) other nodes\.")


def reason_words(text: str) -> str:
    """Why a node is in its state."""
    text = text.removeprefix(BY_HAND)
    lost = LOST.fullmatch(text)
    if lost:
        count = int(lost[1])
        said = ngettext(
            "It fell silent together with %(n)s other node.",
            "It fell silent together with %(n)s other nodes.",
            count,
        )
        return said % {"n": count}
    return gettext(text) if text in REASONS else text
