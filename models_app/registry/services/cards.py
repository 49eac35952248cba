"""The words of a model's card: every change is a revision with its author."""

from typing import Any

from django.db import transaction
from django.db.models import Max

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.permission import require
from models_app.registry.card_words import words_checked
from models_app.registry.models import CardText, Model
from models_app.registry.services.models import announce


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
    given = words_checked(body=body, license=license, languages=languages or [], tags=tags or [])
    return _written(actor, model, given)


@transaction.atomic
def card_carry(*, model: Model, words: dict[str, Any]) -> CardText | None:
    """Words that came with a version, as the first revision; what people wrote here stays."""
    if model.card_texts.exists():
        return None
    return _written(SYSTEM, model, words_checked(**words))


def _written(actor: Actor, model: Model, given: dict[str, Any]) -> CardText:
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
