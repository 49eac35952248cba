"""Pages that write configurations: a new one, the next revision; as form, as YAML, of a file."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from console.pages.configs.editor import VIEWS, Editor
from console.pages.configs.forms import PERM, NameForm, ReasonForm, known_config, number_of
from console.pages.configs.words import kind_choices, kind_word
from models_app.configs import selectors
from models_app.configs.comparison import spec_changes
from models_app.configs.models import ConfigRevision
from models_app.configs.services import config_save
from models_app.configs.specs import SPECS, Spec
from models_app.configs.yaml_text import MOST_BYTES
from models_app.core.errors import Conflict, InvalidInput
from models_app.core.permission import require
from models_app.core.teams import teams_where


@login_required
def config_new(request: HttpRequest) -> HttpResponse:
    """`?kind=` chooses what it configures, `?view=yaml` how it is typed in."""
    actor: Any = request.user
    require(actor, PERM)
    kind = request.GET.get("kind", "")
    kind = kind if kind in SPECS else next(iter(SPECS))
    posted = request.method == "POST"
    editor = _editor(request, SPECS[kind], SPECS[kind].suggested())
    asks_only = editor.switching or editor.go == "file"
    data = request.POST if posted else None
    form = NameForm(None if asks_only else data, teams=teams_where(actor, PERM))
    if asks_only:
        form.initial = {name: request.POST.get(name, "") for name in form.fields}
    elif posted:
        form.full_clean()
        spec = editor.read()
        if form.is_valid() and spec is not None:
            given = form.cleaned_data
            made = _save(
                editor, form, actor=actor, team=form.teams[given["team"]], kind=kind,
                name=given["name"], spec=spec, reason=given["reason"], base=0,
            )  # fmt: skip
            if made is not None:
                messages.success(request, _("The configuration is stored as r1."))
                return redirect(_page(made))
    wrong = editor.wrong or bool(form.errors)
    context = {
        "form": form, "editor": editor, "kind": kind, "kind_word": kind_word(kind),
        "kinds": kind_choices(), "most_kib": MOST_BYTES >> 10,
    }  # fmt: skip
    return render(request, "configs/new.html", context, status=422 if wrong else 200)


@login_required
def config_edit(request: HttpRequest, team: str, kind: str, name: str) -> HttpResponse:
    """The next revision, filled in with the newest one or with `?from=` (a number)."""
    actor: Any = request.user
    config = known_config(actor, team, kind, name)
    require(actor, PERM, config)
    newest = selectors.revision_newest(config)
    start = _start(actor, config, request.GET.get("from", "")) or newest
    posted = request.method == "POST"
    editor: Editor[Spec] = _editor(request, SPECS[kind], start.spec if start else {})
    asks_only = editor.switching or editor.go == "file"
    base = number_of(request.POST.get("base", "")) if posted else (newest.number if newest else 0)
    form = ReasonForm(None if asks_only or not posted else request.POST, needed=bool(newest))
    if asks_only:
        form.initial = {"reason": request.POST.get("reason", "")}
    conflict: Conflict | None = None
    review = None
    if posted and not asks_only:
        spec = editor.read()
        if editor.go == "review":
            # Only a look at the difference: the reason may still be missing.
            form = ReasonForm(initial={"reason": request.POST.get("reason", "")})
            review = spec
        elif form.is_valid() and spec is not None:
            try:
                made = _save(
                    editor, form, actor=actor, team=config.team, kind=kind, name=config.name,
                    spec=spec, reason=form.cleaned_data["reason"], base=base,
                )  # fmt: skip
            except Conflict as error:
                # What was typed stays; sent again, it is written on what is newest now.
                conflict, base, review = error, error.extra["newest"], spec
                newest = selectors.revision_newest(config)
            else:
                if made is not None:
                    _say(request, made, newest)
                    return redirect(_page(made))
    wrong = editor.wrong or bool(form.errors)
    context = {
        "config": config, "kind_word": kind_word(kind), "form": form, "editor": editor,
        "base": base, "newest": newest, "start": start, "conflict": conflict,
        "since": newest if conflict else None,
        "since_label": f"r{newest.number}" if newest else "",
        "conflict_changes": _since(config, conflict, request.POST.get("base", "")),
        "reviewed": review is not None, "most_kib": MOST_BYTES >> 10,
        "changes": spec_changes(kind, newest.spec, review.plain()) if review and newest else [],
    }  # fmt: skip
    status = 409 if conflict else 422 if wrong else 200
    return render(request, "configs/edit.html", context, status=status)


def _save(editor: Editor[Any], form: forms.Form, **given: Any) -> ConfigRevision | None:
    """The stored revision; None with what is wrong marked in the form and in the editor."""
    try:
        return config_save(**given)
    except InvalidInput as error:
        own = {name: texts for name, texts in error.errors.items() if name in form.fields}
        for name, texts in own.items():
            for text in texts:
                form.add_error(name, text)
        rest = {name: texts for name, texts in error.errors.items() if name not in own}
        if rest:
            editor.refuse(InvalidInput(rest), "spec")
    except Conflict as error:
        if error.extra.get("field") != "name":
            raise
        form.add_error("name", error.message)
    return None


def _editor(request: HttpRequest, model: type[Spec], values: dict[str, Any]) -> Editor[Spec]:
    """The state of the page: as asked for, as sent, or as a file says."""
    view = request.GET.get("view", "form")
    if request.method != "POST":
        return Editor(model, values, view=view if view in VIEWS else "form")
    if request.POST.get("go") == "file" and (file := request.FILES.get("file")) is not None:
        # One byte more than is allowed is enough to be refused with the right words.
        text = file.read(MOST_BYTES + 1).decode("utf-8", "replace")
        editor: Editor[Spec] = Editor(model, values, request.POST, text=text)
        editor.read()
        return editor
    editor = Editor(model, values, request.POST)
    if editor.switching:
        editor.switch()
    return editor


def _start(actor: Any, config: Any, key: str) -> ConfigRevision | None:
    number = number_of(key)
    if not number:
        return None
    return selectors.revision_list(actor=actor, config=config).filter(number=number).first()


def _since(config: Any, conflict: Conflict | None, base: str) -> list[Any]:
    """What others changed since the page was opened."""
    seen = config.revisions.filter(number=number_of(base)).first() if conflict else None
    newest = selectors.revision_newest(config) if seen else None
    return selectors.revision_diff(old=seen, new=newest) if seen and newest else []


def _say(request: HttpRequest, made: ConfigRevision, before: ConfigRevision | None) -> None:
    if before is not None and before.pk == made.pk:
        messages.info(request, _("r%(n)s says exactly this already.") % {"n": made.number})
    else:
        messages.success(request, _("Stored as r%(n)s.") % {"n": made.number})


def _page(revision: ConfigRevision) -> str:
    config = revision.config
    args = [config.team.slug, config.kind, config.name, revision.number]
    return reverse("config_revision", args=args)
