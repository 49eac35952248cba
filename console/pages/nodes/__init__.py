"""Pages of nodes: the list, one node with what holds it, and what operators do with it."""

from django.urls import path

from console.pages.nodes import actions, editing, joining, views

urlpatterns = [
    path("nodes/", views.node_list, name="node_list"),
    path("held-jobs/release/", actions.release_all, name="node_release_all"),
    path("join-tokens/", joining.join_tokens, name="node_join_tokens"),
    path("join-tokens/<int:pk>/revoke/", joining.revoke, name="node_join_token_revoke"),
    path("nodes/<str:name>/", views.node_detail, name="node_detail"),
    path("nodes/<str:name>/drain/", editing.node_drain_page, name="node_drain"),
    path("nodes/<str:name>/labels/", editing.node_labels_page, name="node_labels"),
    path("nodes/<str:name>/cordon/", actions.cordon, name="node_cordon"),
    path("nodes/<str:name>/uncordon/", actions.uncordon, name="node_uncordon"),
    path("nodes/<str:name>/quarantine/", actions.quarantine, name="node_quarantine"),
    path("nodes/<str:name>/remove/", actions.remove, name="node_remove"),
    path("nodes/<str:name>/release/", actions.release, name="node_release"),
]
