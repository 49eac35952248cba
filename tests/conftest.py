"""The cast of the tests: Ana owns, Ben is on her team, Dan approves, Cai is outside, Root rules."""

import gc
import os
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client, TransactionTestCase
from django.utils import translation
from rest_framework.test import APIClient

from console.access.models import Team, User
from console.access.roles import Role, Scope
from tests.databases import template
from tests.factories.access import ApiTokenFactory, MembershipFactory, TeamFactory, UserFactory
from tests.flushing import flush
from tests.s3.server import S3Server, use_bucket

# Workers that tests start have better things to do than to measure the machine.
os.environ.setdefault("SLIPWAY_MEASURE_SPEED", "0")
# Nor to load a template each: tests that are about it ask for it.
os.environ.setdefault("SLIPWAY_WARM_TEMPLATE", "0")
# One thread each: processes enough share the processors, and threads of OpenMP wait by spinning.
# And what has never had a second thread can be forked without fear.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What a test has committed goes by our own way, many times cheaper than Django's.
TransactionTestCase._fixture_teardown = lambda case: flush()


#: Files that take longest, the longest first: begun last, they would be waited for alone.
LONGEST = (
    "flows/test_demo.py",
    "flows/test_journey.py",
    "chaos/test_chaos.py",
    "workers/jobs/test_train_on_nodes.py",
    "flows/test_joining.py",
    "workers/test_worker.py",
    "workers/lm/training/test_resume.py",
    "console/hf/test_generations.py",
    "console/hf/test_push.py",
    "workers/lm/training/distributed/test_going_on.py",
    "flows/test_bad_input.py",
    "flows/test_log_flood.py",
    "workers/test_leaving.py",
    "launcher/test_bootstrap.py",
    "flows/test_fuzz.py",
    "browser/test_scripts.py",
    "browser/test_logs.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests first, so that at the end no process works alone."""
    here = Path(__file__).parent
    ranks = {here / name: rank for rank, name in enumerate(LONGEST)}
    for item in items:
        if item.get_closest_marker("slow"):
            ranks.setdefault(item.path, len(LONGEST))
    items.sort(key=lambda item: ranks.get(item.path, len(LONGEST) + 1))


def pytest_collection_finish() -> None:
    """What was collected stays: no collection of garbage looks at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix, django_db_blocker, tmp_path_factory, worker_id
):
    """Processes side by side copy one migrated database."""
    if worker_id != "master":
        shared = tmp_path_factory.getbasetemp().parent
        with django_db_blocker.unblock():
            connection.settings_dict["TEST"]["TEMPLATE"] = template(shared)


@pytest.fixture(autouse=True)
def source_language():
    """A test in which somebody reads Chinese leaves no language behind for the next one."""
    yield
    translation.deactivate()


@pytest.fixture
def team(db) -> Team:
    """Ana's team, "research"."""
    return TeamFactory(slug="research", title="Research")


@pytest.fixture
def other_team(db) -> Team:
    """Cai's team, "legal"."""
    return TeamFactory(slug="legal", title="Legal")


@pytest.fixture
def ana(team: Team) -> User:
    """Admin of the team."""
    return _member("Ana", team, Role.ADMIN)


@pytest.fixture
def ben(team: Team) -> User:
    """Developer in the team."""
    return _member("Ben", team, Role.DEVELOPER)


@pytest.fixture
def dan(team: Team) -> User:
    """Approver in the team."""
    return _member("Dan", team, Role.APPROVER)


@pytest.fixture
def eve(team: Team) -> User:
    """Viewer in the team."""
    return _member("Eve", team, Role.VIEWER)


@pytest.fixture
def cai(other_team: Team) -> User:
    """An outsider: admin of another team."""
    return _member("Cai", other_team, Role.ADMIN)


@pytest.fixture
def root(db) -> User:
    """Platform admin, in no team."""
    return UserFactory(name="Root", is_admin=True)


@pytest.fixture
def client_for():
    """`client_for(user)`: a browser in which the user is signed in."""

    def make(user: User, **options) -> Client:
        client = Client(**options)
        client.force_login(user, backend="console.access.backends.RoleBackend")
        return client

    return make


@pytest.fixture
def api_for():
    """`api_for(user, *scopes)`: an API client with a token; all scopes unless some are named."""

    def make(user: User, *scopes: str, team: Team | None = None) -> APIClient:
        token = ApiTokenFactory(user=user, team=team, scopes=list(scopes or Scope.values))
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token.secret}")
        return client

    return make


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """A server that speaks S3."""
    server = S3Server(tmp_path_factory.mktemp("swift"))
    yield server
    server.stop()


@pytest.fixture(params=["disk", "s3"])
def store(request, settings, tmp_path):
    """Files lie on this disk, or in a bucket: what a test says is said of both."""
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    if request.param == "s3":
        request.getfixturevalue("db")
        use_bucket(settings, request.getfixturevalue("s3_server").url)
    return request.param


def _member(name: str, team: Team, role: Role) -> User:
    user = UserFactory(name=name)
    MembershipFactory(user=user, team=team, role=role)
    return User.objects.get(pk=user.pk)
