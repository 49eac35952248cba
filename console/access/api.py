"""The API of people and teams: who am I, people, teams, memberships."""

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from console.access import selectors
from console.access.models import Membership, Team, User
from console.access.services import (
    membership_remove,
    membership_set,
    password_reset,
    team_create,
    team_rename,
    user_activate,
    user_create,
    user_deactivate,
    user_update,
)
from models_app.core.errors import FieldError
from models_app.core.pagination import Page
from models_app.core.responses import created
from models_app.core.schema import object_schema, request_schema
from models_app.core.validation import parse


class Input(BaseModel):
    """Base of what is sent: unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid")


class UserInput(Input):
    """A new person; a one-time password comes back, once."""

    email: str = Field(max_length=254)
    name: str = Field(max_length=120)
    is_admin: bool = False


class UserChangeInput(Input):
    """What to change; the rest stays."""

    name: str | None = Field(None, max_length=120)
    is_admin: bool | None = None


class TeamInput(Input):
    """A new team."""

    slug: str = Field(max_length=63)
    title: str = Field("", max_length=120)
    admin: str = Field("", description="Address of its first admin")


class TeamChangeInput(Input):
    """What the team is called."""

    title: str = Field(max_length=120)


class MembershipInput(Input):
    """Somebody, by address, and the role: viewer, developer, approver or admin."""

    email: str
    role: str


class RoleInput(Input):
    """Another role: viewer, developer, approver or admin."""

    role: str


class MembershipOutput(serializers.ModelSerializer[Membership]):
    """A person's role in a team."""

    team = serializers.CharField(source="team.slug")
    user_id = serializers.IntegerField()
    email = serializers.CharField(source="user.email")
    name = serializers.CharField(source="user.name")
    role = serializers.CharField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = Membership
        fields = ["url", "team", "user_id", "email", "name", "role", "created_at"]

    def get_url(self, row: Membership) -> str:
        return reverse("api_membership", args=[row.team.slug, row.user_id])


class UserOutput(serializers.ModelSerializer[User]):
    """A person, with roles in the teams that you see."""

    roles = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = [
            "id", "url", "email", "name", "is_active", "is_admin", "must_change_password",
            "roles", "created_at", "last_login",
        ]  # fmt: skip

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
    def get_roles(self, row: User) -> dict[str, str]:
        return {membership.team.slug: membership.role for membership in getattr(row, "shown", [])}

    def get_url(self, row: User) -> str:
        return reverse("api_user_detail", args=[row.pk])


class NewUserOutput(UserOutput):
    """A new person and the password for the first sign-in."""

    one_time_password = serializers.CharField()

    class Meta(UserOutput.Meta):
        fields = [*UserOutput.Meta.fields, "one_time_password"]


class TeamOutput(serializers.ModelSerializer[Team]):
    """A team."""

    members = serializers.IntegerField(default=0)
    url = serializers.SerializerMethodField()

    class Meta:
        model = Team
        fields = ["id", "url", "slug", "title", "members", "created_at"]

    def get_url(self, row: Team) -> str:
        return reverse("api_team_detail", args=[row.slug])


def _actor(request: Request) -> User:
    assert isinstance(request.user, User)
    return request.user


def _user(request: Request, pk: int) -> User:
    return selectors.user_get(actor=_actor(request), user_id=pk)


def _named(email: str, field: str) -> User:
    user = selectors.user_by_email(email=email)
    if user is None:
        raise FieldError(field, _("Nobody has this address. A platform admin can add the person."))
    return user


class MeApi(APIView):
    """Whoever sends this request: person, teams, and what the token may be used for."""

    any_scope = True

    @extend_schema(
        responses=object_schema(
            "Who am I",
            user={"type": "object"},
            token={"type": "object", "nullable": True},
        )
    )
    def get(self, request: Request) -> Response:
        user = _actor(request)
        token = user.auth_token
        shown = selectors.user_get(actor=user, user_id=user.pk)
        body: dict[str, Any] = {"user": UserOutput(shown).data, "token": None}
        if token is not None:
            body["token"] = {
                "name": token.name,
                "prefix": token.prefix,
                "scopes": token.scopes,
                "team": token.team.slug if token.team else None,
                "expires_at": token.expires_at,
            }
        return Response(body)


USER_FILTERS = ("query", "team", "role", "status")


class UserListApi(ListAPIView[User]):
    """People of your teams; `status` is active, inactive or admin."""

    serializer_class = UserOutput
    pagination_class = Page
    queryset = User.objects.none()

    def get_queryset(self) -> Any:
        given = {name: self.request.query_params.get(name, "") for name in USER_FILTERS}
        return selectors.user_list(actor=_actor(self.request), **given)

    @extend_schema(parameters=[OpenApiParameter(name, str) for name in USER_FILTERS])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(request=request_schema(UserInput), responses={201: NewUserOutput})
    def post(self, request: Request) -> Response:
        given = parse(UserInput, request.data)
        user, secret = user_create(actor=_actor(request), **given.model_dump())
        response = created({**UserOutput(user).data, "one_time_password": secret})
        response["Cache-Control"] = "no-store"
        return response


class UserDetailApi(APIView):
    """One person."""

    @extend_schema(responses=UserOutput)
    def get(self, request: Request, pk: int) -> Response:
        return Response(UserOutput(_user(request, pk)).data)

    @extend_schema(request=request_schema(UserChangeInput), responses=UserOutput)
    def patch(self, request: Request, pk: int) -> Response:
        given = parse(UserChangeInput, request.data)
        user_update(actor=_actor(request), user=_user(request, pk), **given.model_dump())
        return Response(UserOutput(_user(request, pk)).data)


class UserDeactivateApi(APIView):
    """The person's sessions and tokens stop working at once."""

    @extend_schema(request=None, responses=UserOutput)
    def post(self, request: Request, pk: int) -> Response:
        user_deactivate(actor=_actor(request), user=_user(request, pk))
        return Response(UserOutput(_user(request, pk)).data)


class UserActivateApi(APIView):
    """The person can sign in again."""

    @extend_schema(request=None, responses=UserOutput)
    def post(self, request: Request, pk: int) -> Response:
        user_activate(actor=_actor(request), user=_user(request, pk))
        return Response(UserOutput(_user(request, pk)).data)


class UserPasswordResetApi(APIView):
    """A new one-time password; all sessions of the person end."""

    @extend_schema(request=None, responses=object_schema("Shown once", one_time_password="string"))
    def post(self, request: Request, pk: int) -> Response:
        secret = password_reset(actor=_actor(request), user=_user(request, pk))
        return Response({"one_time_password": secret}, headers={"Cache-Control": "no-store"})


class TeamListApi(ListAPIView[Team]):
    """Your teams."""

    serializer_class = TeamOutput
    pagination_class = Page
    queryset = Team.objects.none()

    def get_queryset(self) -> Any:
        query = self.request.query_params.get("query", "")
        return selectors.team_list(actor=_actor(self.request), query=query)

    @extend_schema(parameters=[OpenApiParameter("query", str)])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(request=request_schema(TeamInput), responses={201: TeamOutput})
    def post(self, request: Request) -> Response:
        given = parse(TeamInput, request.data)
        admin = _named(given.admin, "admin") if given.admin else None
        team = team_create(actor=_actor(request), slug=given.slug, title=given.title, admin=admin)
        return created(TeamOutput(selectors.team_get(actor=_actor(request), slug=team.slug)).data)


class TeamDetailApi(APIView):
    """One team."""

    @extend_schema(responses=TeamOutput)
    def get(self, request: Request, slug: str) -> Response:
        return Response(TeamOutput(selectors.team_get(actor=_actor(request), slug=slug)).data)

    @extend_schema(request=request_schema(TeamChangeInput), responses=TeamOutput)
    def patch(self, request: Request, slug: str) -> Response:
        actor = _actor(request)
        given = parse(TeamChangeInput, request.data)
        team_rename(actor=actor, team=selectors.team_get(actor=actor, slug=slug), title=given.title)
        return Response(TeamOutput(selectors.team_get(actor=actor, slug=slug)).data)


class MembershipListApi(ListAPIView[Membership]):
    """Who is in the team."""

    serializer_class = MembershipOutput
    pagination_class = Page
    queryset = Membership.objects.none()

    def get_queryset(self) -> Any:
        actor = _actor(self.request)
        team = selectors.team_get(actor=actor, slug=self.kwargs["slug"])
        return selectors.membership_list(actor=actor, team=team)

    @extend_schema(request=request_schema(MembershipInput), responses={201: MembershipOutput})
    def post(self, request: Request, slug: str) -> Response:
        actor = _actor(request)
        team = selectors.team_get(actor=actor, slug=slug)
        given = parse(MembershipInput, request.data)
        user = _named(given.email, "email")
        row = membership_set(actor=actor, team=team, user=user, role=given.role)
        return created(MembershipOutput(row).data)


class MembershipApi(APIView):
    """One person's place in a team."""

    def _row(self, slug: str, user_id: int) -> Membership:
        actor = _actor(self.request)
        team = selectors.team_get(actor=actor, slug=slug)
        return selectors.membership_get(actor=actor, team=team, user_id=user_id)

    @extend_schema(responses=MembershipOutput)
    def get(self, request: Request, slug: str, user_id: int) -> Response:
        return Response(MembershipOutput(self._row(slug, user_id)).data)

    @extend_schema(request=request_schema(RoleInput), responses=MembershipOutput)
    def patch(self, request: Request, slug: str, user_id: int) -> Response:
        row = self._row(slug, user_id)
        given = parse(RoleInput, request.data)
        row = membership_set(actor=_actor(request), team=row.team, user=row.user, role=given.role)
        return Response(MembershipOutput(row).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, slug: str, user_id: int) -> Response:
        row = self._row(slug, user_id)
        membership_remove(actor=_actor(request), team=row.team, user=row.user)
        return Response(status=204)
