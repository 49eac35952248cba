"""The page of an overlay: what one environment changes, as a patch, and what comes out of it."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from console.pages.configs.forms import PERM, ReasonForm, known_config, number_of
from console.pages.configs.words import kind_word, setting_rows
from models_app.configs import selectors
from models_app.configs.comparison import value_text
from models_app.configs.documents import spec_yaml
from models_app.configs.environments import environment_names
from models_app.configs.models import Config, ConfigRevision
from models_app.configs.services import effective_spec, overlay_revise
from models_app.configs.specs import spec_class
from models_app.configs.yaml_text import Document, YamlError, yaml_load
from models_app.core.errors import Conflict, InvalidInput, NotFound
from models_app.core.permission import require


def overlay_rows(config: Config, revision: ConfigRevision) -> list[dict[str, Any]]:
    """Each environment with its overlay; none where the kind has no environments."""
    if not spec_class(config.kind).overlaid:
        return []
    rows = []
    for name in environment_names():
        overlay = selectors.overlay_newest(config, name)
        row: dict[str, Any] = {"environment": name, "overlay": overlay, "problem": ""}
        if overlay is not None:
            try:
                whole = effective_spec(config.kind, revision.spec, overlay.patch)
            except InvalidInput as error:
                row["problem"] = error.message
            else:
                row["digest"] = whole.digest
                row["changed"] = sorted(whole.overlaid)
        rows.append(row)
    return rows


@login_required
def config_overlay(
    request: HttpRequest, team: str, kind: str, name: str, environment: str
) -> HttpResponse:
    """See and change what an environment changes; an empty patch takes it back."""
    actor: Any = request.user
    config = known_config(actor, team, kind, name)
    newest = selectors.revision_newest(config)
    if environment not in environment_names() or newest is None or not spec_class(kind).overlaid:
        raise NotFound
    overlay = selectors.overlay_newest(config, environment)
    posted = request.method == "POST"
    if posted:
        require(actor, PERM, config)
    text = request.POST.get("yaml", "").replace("\r\n", "\n") if posted else _text(overlay)
    base = selectors.overlay_numbered(config, environment)
    form = ReasonForm(request.POST if posted and request.POST.get("go") == "save" else None)
    if posted and not form.is_bound:
        form.initial = {"reason": request.POST.get("reason", "")}
    context: dict[str, Any] = {"conflict": None, "complaints": [], "effective": None}
    patch = _read(text, config, newest, context)
    if posted and form.is_valid() and patch is not None:
        try:
            made = overlay_revise(
                actor=actor, config=config, environment=environment, patch=patch,
                reason=form.cleaned_data["reason"], base=number_of(request.POST.get("base", "")),
            )  # fmt: skip
        except Conflict as error:
            context["conflict"] = error
        except InvalidInput as error:
            for texts in error.errors.values():
                for said in texts:
                    form.add_error("reason", said)
        else:
            messages.success(request, _("Stored as o%(n)s.") % {"n": made.number})
            return redirect("config_overlay", team, kind, name, environment)
    wrong = bool(context["complaints"] or form.errors)
    status = 409 if context["conflict"] else 422 if posted and wrong else 200
    context |= {
        "config": config, "kind_word": kind_word(kind), "environment": environment,
        "environments": environment_names(), "revision": newest, "overlay": overlay,
        "base": base, "yaml": text, "form": form, "may_edit": actor.has_perm(PERM, config),
        "history": _history(actor, config, environment),
    }  # fmt: skip
    return render(request, "configs/overlay.html", context, status=status)


def _read(
    text: str, config: Config, newest: ConfigRevision, context: dict[str, Any]
) -> dict[str, Any] | None:
    """The patch of a text, and what it makes of the newest revision; or what is wrong with it."""
    document: Document | None = None
    try:
        document = yaml_load(text, name="patch")
        whole = effective_spec(config.kind, newest.spec, document.value)
    except YamlError as error:
        context["complaints"] = [said for texts in error.errors.values() for said in texts]
        return None
    except InvalidInput as error:
        assert document is not None
        placed = document.located(error, "patch")
        context["complaints"] = [said for texts in placed.errors.values() for said in texts]
        return None
    context["effective"] = whole
    context["settings"] = setting_rows(config.kind, whole.spec.plain(), whole)
    return document.value


def _history(actor: Any, config: Config, environment: str) -> list[Any]:
    """The newest revisions with what they say in one line."""
    rows: Any = selectors.overlay_list(actor=actor, config=config, environment=environment)[:20]
    for row in rows:
        row.said = " · ".join(f"{name}: {value_text(value)}" for name, value in row.patch.items())
    return list(rows)


def _text(overlay: Any) -> str:
    return spec_yaml(overlay.config.kind, overlay.patch) if overlay is not None else ""
