"""The page of the store of files, for platform admins."""

from django.urls import path

from console.pages.storage import actions, views

urlpatterns = [
    path("storage/", views.store_overview, name="store_overview"),
    path("storage/garbage/", views.store_garbage, name="store_garbage"),
    path("storage/collect/", actions.collect, name="store_collect"),
    path("storage/verify/", actions.verify, name="store_verify"),
]
