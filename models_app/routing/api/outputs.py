"""How routes and their revisions look in the API."""

from django.urls import reverse
from rest_framework import serializers

from models_app.routing.models import Route, RouteRevision


class RouteRevisionOutput(serializers.ModelSerializer[RouteRevision]):
    """One immutable state of a route."""

    url = serializers.SerializerMethodField()
    author = serializers.CharField(source="author.email", default=None)
    spec = serializers.DictField()

    class Meta:
        model = RouteRevision
        fields = [
            "id", "url", "route", "number", "spec", "digest", "reason", "back_to", "author",
            "created_at",
        ]  # fmt: skip

    def get_url(self, row: RouteRevision) -> str:
        return reverse("api_route_revision", args=[row.route_id, row.number])


class RouteOutput(serializers.ModelSerializer[Route]):
    """A route. `model` is the name to ask in /v1, `revision` the number of what decides."""

    url = serializers.SerializerMethodField()
    team = serializers.CharField(source="team.slug")
    environment = serializers.CharField(source="environment.name")
    model = serializers.SerializerMethodField()
    revision = serializers.IntegerField(source="current.number")
    spec = serializers.DictField(source="current.spec")
    created_by = serializers.CharField(source="created_by.email", default=None)

    class Meta:
        model = Route
        fields = [
            "id", "url", "team", "name", "model", "environment", "revision", "spec", "created_by",
            "created_at",
        ]  # fmt: skip

    def get_url(self, row: Route) -> str:
        return reverse("api_route_detail", args=[row.pk])

    def get_model(self, row: Route) -> str:
        return f"{row.team.slug}/{row.name}"
