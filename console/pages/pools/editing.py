"""Pages that make, change and delete pools; for platform admins."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.pages.forms import add_errors
from console.pages.pools.forms import PoolForm
from models_app.core.errors import Conflict, InvalidInput
from models_app.core.permission import require
from models_app.jobs.models import Job
from models_app.pools.selectors import pool_get
from models_app.pools.services.pools import pool_create, pool_delete, pool_update

MANAGE = "pools.manage_pool"


@login_required
def pool_new(request: HttpRequest) -> HttpResponse:
    """A new pool."""
    actor: Any = request.user
    require(actor, MANAGE)
    form = PoolForm(request.POST or None, actor=actor)
    if request.method == "POST" and form.is_valid():
        try:
            pool = pool_create(actor=actor, **form.fields_given())
        except Conflict as error:
            form.add_error("name", error.message)
        except InvalidInput as error:
            _errors(form, error)
        else:
            messages.success(request, _("The pool %(name)s is made.") % {"name": pool.name})
            return redirect("pool_detail", pool.name)
    return _page(request, form)


@login_required
def pool_edit(request: HttpRequest, name: str) -> HttpResponse:
    """Its limits, labels and teams; jobs that run already are not touched."""
    actor: Any = request.user
    pool = pool_get(actor=actor, name=name)
    require(actor, MANAGE)
    form = PoolForm(request.POST or None, actor=actor, pool=pool)
    if request.method == "POST" and form.is_valid():
        try:
            pool_update(actor=actor, pool=pool, **form.fields_given())
        except InvalidInput as error:
            _errors(form, error)
        else:
            messages.success(request, _("The pool is saved."))
            return redirect("pool_detail", name)
    return _page(request, form)


@login_required
@require_POST
def pool_delete_view(request: HttpRequest, name: str) -> HttpResponse:
    """Delete a pool that no job names."""
    actor: Any = request.user
    pool = pool_get(actor=actor, name=name)
    pool_delete(actor=actor, pool=pool, jobs=Job.objects.filter(pool=pool).count())
    messages.success(request, _("The pool %(name)s is deleted.") % {"name": name})
    return redirect("pool_list")


def _page(request: HttpRequest, form: PoolForm) -> HttpResponse:
    return render(
        request,
        "pools/form.html",
        {"form": form, "pool": form.pool},
        status=422 if form.errors else 200,
    )


def _errors(form: PoolForm, error: InvalidInput) -> None:
    """`selector.zone: …` belongs to the one field that holds all labels; it names the label."""
    rest: dict[str, str | list[str]] = {}
    for path, texts in error.errors.items():
        if path.startswith("selector."):
            label = path.removeprefix("selector.")
            rest.setdefault("selector", [])
            rest["selector"] = [*rest["selector"], *(f"{label}: {text}" for text in texts)]
        else:
            rest[path] = texts
    add_errors(form, InvalidInput(rest))
