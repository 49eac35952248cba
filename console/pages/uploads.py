"""Views that take files: they go to the blob store as they arrive, after the rights check."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from models_app.datasets.uploads import stream_uploads

View = Callable[..., HttpResponse]


def takes_uploads(check: Callable[..., None]) -> Callable[[View], View]:
    """Signed in, then `check`, then the upload handler, and only then is the body looked at."""

    def decorate(view: View) -> View:
        protected = csrf_protect(view)

        # The outer view is exempt because the check for the token reads the body; the inner has it.
        @csrf_exempt
        @login_required
        @wraps(view)
        def taking(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            check(request, *args, **kwargs)
            if request.method == "POST":
                stream_uploads(request)
            return protected(request, *args, **kwargs)

        return taking

    return decorate
