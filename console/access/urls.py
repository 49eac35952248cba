"""Pages of access: sign-in, account, people, teams, tokens, audit log."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
