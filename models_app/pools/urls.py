"""API addresses of nodes."""

from django.urls import path

from models_app.pools import api, joining_api

urlpatterns = [
    path("nodes", api.NodeListApi.as_view(), name="api_node_list"),
    *joining_api.urlpatterns,
    path("nodes/<str:name>", api.NodeDetailApi.as_view(), name="api_node_detail"),
    path("nodes/<str:name>/cordon", api.NodeCordonApi.as_view()),
    path("nodes/<str:name>/uncordon", api.NodeUncordonApi.as_view()),
    path("nodes/<str:name>/drain", api.NodeDrainApi.as_view()),
    path("nodes/<str:name>/quarantine", api.NodeQuarantineApi.as_view()),
]
