"""Addresses of the API of batches, under /api/v1/."""

from django.urls import path

from models_app.batches import api

urlpatterns = [
    path("batch-inferences", api.BatchListApi.as_view(), name="api_batch_list"),
    path("batch-inferences/<slug:key>", api.BatchApi.as_view(), name="api_batch"),
    path(
        "batch-inferences/<slug:key>/cancel", api.BatchCancelApi.as_view(), name="api_batch_cancel"
    ),
]
