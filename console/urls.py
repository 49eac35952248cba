"""Every URL prefix on one screen; `/ws`, and what models answer of `/v1`, `asgi.py` dispatches."""

from django.urls import include, path
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from console import health

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("i18n/language/", set_language, name="set_language"),
    path("api/v1/", include("models_app.urls")),
    path("api/v1/", include("console.access.api_urls")),
    path("mlflow/", include("console.mlflow.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="api_docs"),
    path("v1/", include("console.finetuning.urls")),
    path("", include("console.access.urls")),
    path("", include("console.pages.urls")),
]

handler400 = "console.pages.errors.bad_request"
handler403 = "console.pages.errors.forbidden"
handler404 = "console.pages.errors.not_found"
handler500 = "console.pages.errors.server_error"
