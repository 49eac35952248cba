"""The version that guesses ahead for the one that answers: named in the settings and checked."""

import re

from django.utils.translation import gettext as _

from models_app.configs.specs import ServingSpec
from models_app.core.actor import Actor
from models_app.core.errors import FieldError
from models_app.core.permission import can_see
from models_app.core.states import state_word
from models_app.deployments.models import Deployment, Revision
from models_app.registry.adapters import BASE, files_to_load
from models_app.registry.models import ModelVersion
from models_app.registry.states import Family, VersionState

#: Guesses from the request itself; every other draft names a version.
PROMPT = "prompt"
FIELD = "spec.draft"
_NAME = re.compile(r"(?P<team>[^/]+)/(?P<model>[^/:]+):v(?P<number>[1-9]\d{0,8})")
_TOKENIZER = "tokenizer.json"


def draft_named(draft: str) -> ModelVersion | None:
    """The version that a setting names; None where it names none, or one that does not exist."""
    match = _NAME.fullmatch(draft)
    if match is None:
        return None
    rows = ModelVersion.objects.select_related("model__team")
    return rows.filter(
        model__team__slug=match["team"], model__name=match["model"], number=int(match["number"])
    ).first()


def draft_of(revision: Revision) -> ModelVersion | None:
    """The version that guesses for a revision, if its settings name one."""
    draft = revision.serving.draft
    return draft_named(draft) if draft not in ("", PROMPT) else None


def draft_check(
    actor: Actor, deployment: Deployment, version: ModelVersion, spec: ServingSpec
) -> None:
    """FieldError on `spec.draft` for what cannot guess for this version."""
    if not spec.draft:
        return
    if spec.backend != "slipway":
        raise FieldError(FIELD, _("Only the engine “slipway” takes drafts. Leave this empty."))
    if version.model.family not in (Family.TRANSFORMER, Family.ADAPTER):
        said = _("%(version)s is as fast as any draft. Leave this empty.")
        raise FieldError(FIELD, said % {"version": version})
    if spec.draft == PROMPT:
        return
    draft = draft_named(spec.draft)
    if draft is None or not can_see(actor, draft) or draft.team_id != deployment.team_id:
        said = _("Write “prompt”, or name a version of this team as in “team/model:v3”.")
        raise FieldError(FIELD, said)
    _check_draft(draft, version)


def _check_draft(draft: ModelVersion, version: ModelVersion) -> None:
    if draft.state != VersionState.READY:
        said = _("%(version)s is “%(state)s”; only a ready version can guess.")
        words = {"version": draft, "state": draft.get_state_display()}
        raise FieldError(FIELD, said % words)
    if draft.model.family != Family.NGRAM:
        said = _("%(version)s is no n-gram model; only those are fast enough to guess.")
        raise FieldError(FIELD, said % {"version": draft})
    own, other = _tokenizer_of(version), _tokenizer_of(draft)
    if own is None or own != other:
        said = _(
            "%(draft)s was made with another tokenizer than %(version)s. Train an n-gram model on"
            " tokens of %(version)s."
        )
        raise FieldError(FIELD, said % {"draft": draft, "version": version})


def _tokenizer_of(version: ModelVersion) -> str | None:
    """The digest of its tokenizer's file; that of its base where an adapter brings none."""
    files = files_to_load(version)
    entry = files.get(_TOKENIZER) or files.get(f"{BASE}/{_TOKENIZER}")
    return None if entry is None else str(entry["sha256"])


def draft_not_ready(revision: Revision) -> str:
    """Why the draft of a revision cannot be loaded now, in a few words; empty if it can."""
    name = revision.serving.draft
    if name in ("", PROMPT):
        return ""
    draft = draft_named(name)
    if draft is None:
        return f"Its draft {name} is gone."
    if draft.state != VersionState.READY:
        return f"Its draft {draft} is {state_word(draft, draft.state)}."
    return ""
