"""API addresses of nodes."""

from django.urls import path

from models_app.pools import api, joining_api

urlpatterns = [
    path("nodes", api.NodeListApi.as_view(), name="api_node_list"),
    *joining_api.urlpatterns,
]
