"""Which version of a model a name means: `v3`, `3`, an alias, `latest`, or a digest."""

import re

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from models_app.core.errors import NotFound
from models_app.registry.aliases import Alias
from models_app.registry.models import Model, ModelVersion
from models_app.registry.states import VersionState

LATEST = "latest"
_NUMBER = re.compile(r"v?([1-9][0-9]{0,8})")
#: The beginning of a digest: the Hub's 40 digits, all 64, or as many as tell it from the others.
_DIGEST = re.compile(r"[0-9a-f]{8,64}")


def version_named(*, model: Model, name: str) -> ModelVersion:
    """The version that a name means now, in whatever state it is, or NotFound saying what exists.

    `latest` is what `version_newest` gives. Of several versions with the same files
    a digest means the newest that is ready.
    """
    rows = ModelVersion.objects.filter(model=model).select_related("model__team")
    found = _found(rows, model, name)
    if found is None:
        said = _(
            "%(model)s has no version %(name)s. Use a number such as v1, an alias, latest, or the"
            " beginning of a digest."
        )
        raise NotFound(said % {"model": model, "name": name[:100]})
    return found


def is_number(name: str) -> bool:
    """Whether a name means the version of this number, as `v3` does."""
    return name.startswith("v") and _NUMBER.fullmatch(name) is not None


def version_newest(model: Model) -> ModelVersion | None:
    """The ready version with the highest number that is no other version in another format.

    What was converted follows its source under a higher number, and is asked for by name.
    """
    rows = model.versions.filter(state=VersionState.READY)
    own = rows.exclude(source_version__model=model).select_related("model__team")
    return own.order_by("-number").first()


def _found(rows: QuerySet[ModelVersion], model: Model, name: str) -> ModelVersion | None:
    if name == LATEST:
        return version_newest(model)
    number = _NUMBER.fullmatch(name)
    if number:
        return rows.filter(number=int(number[1])).first()
    alias = Alias.objects.filter(model=model, name=name[:64]).values("version").first()
    if alias:
        return rows.get(pk=alias["version"])
    return _by_digest(rows, name) if _DIGEST.fullmatch(name) else None


def _by_digest(rows: QuerySet[ModelVersion], name: str) -> ModelVersion | None:
    found = list(rows.filter(digest__startswith=name).order_by("-number")[:200])
    if len({row.digest for row in found}) > 1:
        said = _("%(name)s is the beginning of several digests. Give more of it.")
        raise NotFound(said % {"name": name})
    ready = [row for row in found if row.state == VersionState.READY]
    return next(iter(ready or found), None)


def aliases_of(model: Model) -> list[Alias]:
    """The aliases of a model with their versions and movers, by name."""
    return list(model.aliases.select_related("version", "moved_by").order_by("name"))
