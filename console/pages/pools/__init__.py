"""Pages of pools: where jobs may run, how much is taken, whose turn it is."""

from django.urls import path

from console.pages.pools import editing, views

urlpatterns = [
    path("pools/", views.pool_list, name="pool_list"),
    path("pools/new/", editing.pool_new, name="pool_new"),
    path("pools/<str:name>/", views.pool_detail, name="pool_detail"),
    path("pools/<str:name>/edit/", editing.pool_edit, name="pool_edit"),
    path("pools/<str:name>/delete/", editing.pool_delete_view, name="pool_delete"),
]
