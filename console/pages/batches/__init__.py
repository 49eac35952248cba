"""Pages of batches: what is answered, begin one, follow it and take the answers."""

from django.urls import path

from console.pages.batches import begin, views

urlpatterns = [
    path("batches/", views.batch_list_view, name="batch_list"),
    path("batches/new/", begin.batch_new, name="batch_new"),
    path("batches/<slug:key>/", views.batch_detail, name="batch_detail"),
    path("batches/<slug:key>/cancel/", views.batch_cancel_view, name="batch_cancel"),
    path("batches/<slug:key>/<slug:which>/", views.batch_file, name="batch_file"),
]
