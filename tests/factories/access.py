"""People, teams, memberships and tokens."""

import factory

from console.access.models import ApiToken, Membership, Team, User
from console.access.roles import Role, Scope
from console.access.tokens import token_secret

PASSWORD = "correct horse battery"


class UserFactory(factory.django.DjangoModelFactory):
    """A person whose password is PASSWORD."""

    class Meta:
        model = User
        django_get_or_create = ("email",)
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"Person {n}")
    email = factory.LazyAttribute(lambda user: f"{user.name.lower().replace(' ', '.')}@example.com")

    @classmethod
    def _create(cls, model_class, *args, password=PASSWORD, **fields):
        found = User.objects.filter(email=fields["email"]).first()
        return found or User.objects.create_user(password=password, **fields)


class TeamFactory(factory.django.DjangoModelFactory):
    """A team without members."""

    class Meta:
        model = Team
        django_get_or_create = ("slug",)

    slug = factory.Sequence(lambda n: f"team-{n}")
    title = factory.LazyAttribute(lambda team: team.slug.capitalize())


class MembershipFactory(factory.django.DjangoModelFactory):
    """A developer's membership."""

    class Meta:
        model = Membership

    user = factory.SubFactory(UserFactory)
    team = factory.SubFactory(TeamFactory)
    role = Role.DEVELOPER


class ApiTokenFactory(factory.django.DjangoModelFactory):
    """A token with every scope; `token.secret` holds its text."""

    class Meta:
        model = ApiToken

    user = factory.SubFactory(UserFactory)
    name = "test"
    scopes = factory.LazyFunction(lambda: list(Scope.values))

    @classmethod
    def _create(cls, model_class, *args, **fields):
        text, prefix, digest = token_secret()
        token = super()._create(model_class, *args, prefix=prefix, digest=digest, **fields)
        token.secret = text
        return token
