"""The words of a model's card: every change is a revision with its author."""

import re
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import FieldError
from models_app.core.names import clean_text
from models_app.core.permission import require
from models_app.registry.models import CardText, Model
from models_app.registry.services.models import announce

MOST_BODY = 100_000
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:+-]{0,59}")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,79}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@transaction.atomic
def card_write(
    *,
    actor: Actor,
    model: Model,
    body: str = "",
    license: str = "",
    languages: list[str] | None = None,
    tags: list[str] | None = None,
) -> CardText:
    """Store the words as the newest revision; what equals the newest one is that one.

    Raises FieldError for a licence, language or tag that clients of the Hub would not take.
    """
    require(actor, "registry.change_model", model)
    given: dict[str, Any] = {
        "license": _matching("license", license.strip().lower(), _LICENSE) if license else "",
        "languages": [_matching("languages", word, _LANGUAGE) for word in languages or []],
        "tags": sorted({_matching("tags", word, _WORD) for word in tags or []}),
        "body": clean_text(body, "body", limit=MOST_BODY).replace("\r\n", "\n").strip(),
    }
    # The lock puts writers of one card into a line, so that numbers have no gap.
    Model.objects.select_for_update(of=("self",)).get(pk=model.pk)
    newest = model.card_texts.order_by("-number").first()
    if newest is not None and all(getattr(newest, key) == value for key, value in given.items()):
        return newest
    number = (model.card_texts.aggregate(top=Max("number"))["top"] or 0) + 1
    row = CardText.objects.create(model=model, number=number, author_id=actor.pk, **given)
    audit_record(actor=actor, action="model.card_written", obj=model, changes={"number": number})
    announce(model)
    return row


def _matching(field: str, word: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(word):
        said = {
            "license": _("Use the short name of a licence, such as apache-2.0."),
            "languages": _("Use codes of languages, such as en or zh."),
            "tags": _("Use letters, digits, spaces and . _ : + - in a tag, at most 60."),
        }[field]
        raise FieldError(field, said)
    return word
