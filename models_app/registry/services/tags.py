"""Tags are set and taken away, several at once, by whoever may change what carries them."""

from collections.abc import Mapping

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.clock import now
from models_app.core.errors import FieldError, InvalidInput
from models_app.core.permission import require
from models_app.events.publish import publish_on_commit
from models_app.jobs.models import Job
from models_app.registry.models import Model, ModelVersion
from models_app.registry.services.models import announce
from models_app.registry.tags import MOST, Tag, clean_tag_name, clean_tag_value

#: What can carry tags.
Tagged = Model | ModelVersion | Job


@transaction.atomic
def tags_change(*, actor: Actor, thing: Tagged, tags: Mapping[str, str | None]) -> dict[str, str]:
    """Set each name to its value, or take it away where the value is None; returns all tags.

    Raises InvalidInput naming every tag that cannot be kept, and then changes nothing.
    """
    require(actor, "registry.set_tag", thing)
    wanted = _checked(tags)
    owner = owner_of(thing)
    # The lock puts writers into a line, so that the limit holds.
    type(thing)._base_manager.select_for_update(no_key=True).get(pk=thing.pk)
    old = dict(Tag.objects.filter(**{owner: thing}).values_list("name", "value"))
    changed = {name: value for name, value in wanted.items() if old.get(name) != value}
    new = {name: value for name, value in (old | changed).items() if value is not None}
    if not changed:
        return new
    if len(new) > MOST:
        raise FieldError("tags", _("At most %(most)s tags; remove some first.") % {"most": MOST})
    _write(actor, owner, thing, changed)
    audit_record(
        actor=actor,
        action="tags.changed",
        obj=thing,
        changes={name: {"from": old.get(name), "to": value} for name, value in changed.items()},
    )
    _tell(thing)
    return new


def owner_of(thing: Tagged) -> str:
    """The field of a tag that refers to such a thing."""
    return {Model: "model", ModelVersion: "version", Job: "job"}[type(thing)]


def _checked(tags: Mapping[str, str | None]) -> dict[str, str | None]:
    errors: dict[str, str | list[str]] = {}
    found: dict[str, str | None] = {}
    for name, value in tags.items():
        field = f"tags.{name[:100]}"
        try:
            clean_tag_name(name, field)
            found[name] = None if value is None else clean_tag_value(value, field)
        except FieldError as error:
            errors |= error.errors
    if errors:
        raise InvalidInput(errors)
    return found


def _write(actor: Actor, owner: str, thing: Tagged, changed: Mapping[str, str | None]) -> None:
    Tag.objects.filter(**{owner: thing}, name__in=[*changed]).delete()
    Tag.objects.bulk_create(
        Tag(**{owner: thing}, name=name, value=value, set_by_id=actor.pk, set_at=now())
        for name, value in changed.items()
        if value is not None
    )


def _tell(thing: Tagged) -> None:
    if isinstance(thing, Job):
        publish_on_commit("job.changed", {"id": thing.pk, "state": thing.state}, f"job.{thing.pk}")
    else:
        announce(thing if isinstance(thing, Model) else thing.model)
