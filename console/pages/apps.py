"""The Django app that owns pages, template tags and the shell of the console."""

from django.apps import AppConfig


class PagesConfig(AppConfig):
    """Browser pages."""

    name = "console.pages"
    label = "pages"
    verbose_name = "Pages"
