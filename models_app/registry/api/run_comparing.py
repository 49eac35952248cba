"""Several training runs side by side."""

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.errors import FieldError, NotFound
from models_app.core.schema import object_schema
from models_app.registry.run_comparison import runs_compare
from models_app.registry.run_selectors import run_views, runs_visible

MOST_COMPARED = 5


class RunCompareApi(APIView):
    """Runs side by side: settings, figures, and in what their environments differ."""

    @extend_schema(
        parameters=[OpenApiParameter("run", int, many=True, required=True)],
        responses=object_schema(
            "Lines of `name`, `values` in the order asked for, and `differs`",
            runs={"type": "array", "items": {"type": "integer"}},
            **{
                name: {"type": "array", "items": {"type": "object"}}
                for name in ("params", "metrics", "environment")
            },
        ),
    )
    def get(self, request: Request) -> Response:
        """`?run=1&run=2`: two to five runs that you may see."""
        actor: Any = request.user
        asked = request.query_params.getlist("run")
        keys = [int(text) for text in asked if text.isascii() and text.isdecimal()]
        if len(keys) != len(asked) or not 2 <= len(set(keys)) <= MOST_COMPARED:
            said = _("Give the ids of two to %(most)s runs.") % {"most": MOST_COMPARED}
            raise FieldError("run", said)
        runs = runs_visible(actor=actor, run_ids=keys)
        if len(runs) < len(set(keys)):
            raise NotFound
        views = run_views(runs)
        lines = {
            group: [
                {"name": line.name, "values": line.values, "differs": line.differs}
                for line in found
            ]
            for group, found in runs_compare(views).items()
        }
        return Response({"runs": [view.pk for view in views], **lines})
