"""Join tokens work once and for a while; a node proves its name with a secret of its own."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import cache
from django.db import connections
from django.db.models.functions import Now
from rest_framework.test import APIClient

from models_app.audit.models import AuditEvent
from models_app.core.actor import SYSTEM
from models_app.core.errors import FieldError, PermissionDenied, WrongState
from models_app.pools import joining
from models_app.pools.access import PROTOCOL
from models_app.pools.joining import (
    JoinRefused,
    NodeRefused,
    join_token_create,
    join_token_revoke,
    node_authenticate,
    node_join,
    node_may_register,
)
from models_app.pools.models import JoinToken, Node

pytestmark = pytest.mark.django_db
JOIN, ACCESS, TOKENS = "/api/v1/nodes/join", "/api/v1/nodes/access", "/api/v1/join-tokens"


@pytest.fixture(autouse=True)
def patient(settings):
    cache.clear()
    settings.DATABASE_URL = "postgresql://slipway:pw@127.0.0.1:5433/slipway"
    settings.REDIS_URL = "redis://:pw@127.0.0.1:6380"
    settings.CLUSTER_HOST = "192.0.2.7"


def token(**options) -> str:
    return join_token_create(actor=SYSTEM, **options)[1]


def asked(**fields):
    return {"protocol": PROTOCOL, "name": "mars", **fields}


class TestToken:
    def test_lets_one_machine_join(self):
        text = token(note="the new one", labels={"gpu": "a100"})

        node, secret = node_join(token=text, name="mars", labels={"gpu": "none", "rack": "7"})

        assert node.name == "mars"
        assert node.labels == {"gpu": "a100", "rack": "7"}
        assert (node.shares_store, node.state) == (False, "unreachable")
        assert node_authenticate(name="mars", secret=secret) == node
        row = JoinToken.objects.get()
        assert row.used_by == node
        assert text not in str(vars(row)) and secret not in str(vars(node))

    def test_leaves_an_event_without_secrets(self):
        text = token(note="the new one")
        _, secret = node_join(token=text, name="mars")

        events = list(AuditEvent.objects.order_by("id"))
        assert [event.action for event in events] == ["join_token.created", "node.joined"]
        assert text not in str([event.changes for event in events])
        assert secret not in str([event.changes for event in events])

    def test_works_once(self):
        text = token()
        node_join(token=text, name="mars")

        with pytest.raises(JoinRefused, match="used already"):
            node_join(token=text, name="venus")
        assert Node.objects.count() == 1

    def test_expires_by_the_clock_of_the_database(self):
        text = token(ttl=dt.timedelta(hours=1))
        JoinToken.objects.update(expires_at=Now() - dt.timedelta(milliseconds=1))

        with pytest.raises(JoinRefused, match="expired"):
            node_join(token=text, name="mars")

    def test_can_be_revoked_while_it_is_unused(self):
        text = token()
        row = join_token_revoke(actor=SYSTEM, token_id=JoinToken.objects.get().pk)

        with pytest.raises(JoinRefused, match="revoked"):
            node_join(token=text, name="mars")
        with pytest.raises(WrongState):
            join_token_revoke(actor=SYSTEM, token_id=row.pk)

    def test_of_somebody_else_s_making_is_unknown(self):
        with pytest.raises(JoinRefused, match="not known"):
            node_join(token="slipjoin_guess", name="mars")

    def test_is_for_platform_admins_alone(self, ana, root):
        with pytest.raises(PermissionDenied):
            join_token_create(actor=ana)
        join_token_create(actor=root)

    @pytest.mark.parametrize(
        ("field", "options"),
        [
            ("ttl", {"ttl": dt.timedelta(days=31)}),
            ("labels", {"labels": {"a b": "c"}}),
            ("labels", {"labels": {f"k{n}": "v" for n in range(33)}}),
            ("note", {"note": "a\x07b"}),
        ],
    )
    def test_with_nonsense_is_refused_by_name(self, field, options):
        with pytest.raises(FieldError) as refused:
            token(**options)
        assert refused.value.field.partition(".")[0] == field

    def test_is_spent_once_by_many_at_the_same_time(self, transactional_db):
        text = token()

        def join(number):
            try:
                return node_join(token=text, name="mars")[0].name
            except JoinRefused as error:
                return error.message
            finally:
                connections.close_all()

        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(join, range(4)))

        assert said.count("mars") == 1
        assert sum("used already" in text for text in said) == 3


class TestName:
    def test_of_a_living_node_gets_a_number(self):
        names = [node_join(token=token(), name="mars")[0].name for _ in range(3)]

        assert names == ["mars", "mars-2", "mars-3"]

    def test_of_a_removed_node_is_free_again(self):
        first, old = node_join(token=token(), name="mars")
        Node.objects.update(state="removed")

        again, secret = node_join(token=token(), name="mars")

        assert again.pk == first.pk
        assert node_authenticate(name="mars", secret=secret)
        with pytest.raises(NodeRefused):
            node_authenticate(name="mars", secret=old)

    def test_is_a_host_name(self):
        with pytest.raises(FieldError):
            node_join(token=token(), name="../mars")
        assert not JoinToken.objects.get().used_at


class TestNode:
    @pytest.fixture
    def secret(self):
        return node_join(token=token(), name="mars")[1]

    @pytest.mark.parametrize("wrong", ["", "slipnode_x", "-" * 64, "é"])
    def test_with_a_wrong_secret_is_refused(self, secret, wrong):
        with pytest.raises(NodeRefused):
            node_authenticate(name="mars", secret=wrong)
        with pytest.raises(NodeRefused):
            node_may_register(name="mars", secret=wrong)

    @pytest.mark.parametrize("state", ["removed", "quarantined"])
    def test_that_was_put_aside_gets_no_files(self, secret, state):
        Node.objects.update(state=state)

        with pytest.raises(NodeRefused, match=state):
            node_authenticate(name="mars", secret=secret)

    def test_of_the_installation_has_no_secret_that_fits(self):
        Node.objects.create(name="here", incarnation="x", started_at=Now(), last_seen_at=Now())

        for guess in ("", "-" * 64):
            with pytest.raises(NodeRefused):
                node_authenticate(name="here", secret=guess)
        node_may_register(name="here", secret="")
        with pytest.raises(NodeRefused, match="another secret"):
            node_may_register(name="here", secret="slipnode_x")

    def test_registers_with_its_own_secret_until_it_is_removed(self, secret):
        node_may_register(name="mars", secret=secret)
        node_may_register(name="unheard-of", secret="")
        Node.objects.update(state="removed")

        with pytest.raises(NodeRefused, match="removed"):
            node_may_register(name="mars", secret=secret)


class TestApi:
    def test_gives_a_machine_what_it_needs_and_not_the_main_key(self, settings):
        answer = APIClient().post(JOIN, asked(token=token()), format="json")

        assert answer.status_code == 201, answer.content
        got = answer.json()
        assert got["database_url"] == "postgresql://slipway:pw@192.0.2.7:5433/slipway"
        assert got["redis_url"] == "redis://:pw@192.0.2.7:6380"
        assert got["replica_key"] == settings.REPLICA_KEY
        assert settings.SECRET_KEY not in answer.content.decode()
        assert answer["Cache-Control"] == "no-store"

    def test_says_why_and_what_to_do(self):
        used = token()
        node_join(token=used, name="mars")
        for text in (used, "slipjoin_x", ""):
            answer = APIClient().post(JOIN, asked(token=text), format="json")
            assert (answer.status_code, answer.json()["code"]) == (401, "join_refused")
            assert "Make a new one" in answer.json()["detail"]

    def test_makes_guessing_slow(self):
        client = APIClient()
        for _ in range(20):
            assert client.post(JOIN, asked(token="no"), format="json").status_code == 401

        answer = client.post(JOIN, asked(token=token()), format="json")

        assert (answer.status_code, answer["Retry-After"]) == (429, "60")

    def test_tells_what_to_change_where_servers_cannot_be_reached(self, settings):
        settings.CLUSTER_HOST = ""
        text = token()
        answer = APIClient().post(JOIN, asked(token=text), format="json")

        assert answer.status_code == 409
        assert "SLIPWAY_CLUSTER_HOST" in answer.json()["detail"]
        assert not JoinToken.objects.get().used_at

    def test_hands_out_servers_of_one_s_own_as_they_are(self, settings):
        settings.CLUSTER_HOST = ""
        settings.DATABASE_URL = "postgresql://u:p@db.example:5432/x"
        settings.REDIS_URL = "rediss://:p@redis.example:6379/4"
        got = APIClient().post(JOIN, asked(token=token()), format="json").json()

        assert got["database_url"] == settings.DATABASE_URL
        assert got["redis_url"] == settings.REDIS_URL

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"protocol": PROTOCOL + 1}, "Update the checkout of the console"),
            ({"migrations": {"pools": "0001_initial"}}, "Update the node"),
            ({"migrations": {"pools": "9999_later"}}, "Update the console"),
        ],
    )
    def test_names_the_side_that_is_too_old(self, fields, words):
        answer = APIClient().post(JOIN, {**asked(token=token()), **fields}, format="json")

        assert answer.status_code == 409
        assert words in answer.json()["detail"]
        assert not JoinToken.objects.get().used_at

    def test_names_the_field_that_is_wrong(self):
        answer = APIClient().post(JOIN, asked(token=token(), labels={"a": "b c"}), format="json")

        assert answer.status_code == 422
        assert "labels.a" in answer.json()["errors"]

    def test_a_node_asks_anew_with_its_secret(self):
        client = APIClient()
        got = client.post(JOIN, asked(token=token()), format="json").json()
        client.credentials(HTTP_AUTHORIZATION=basic("mars", got.pop("secret")))

        assert client.post(ACCESS, {"protocol": PROTOCOL}, format="json").json() == got
        client.credentials(HTTP_AUTHORIZATION=basic("mars", "wrong"))
        assert client.post(ACCESS, {"protocol": PROTOCOL}, format="json").status_code == 401

    @pytest.mark.parametrize("header", ["", "Basic", "Basic ###", "Basic AAAA", "Bearer x"])
    def test_nonsense_for_credentials_is_refused(self, header):
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=header)

        assert client.post(ACCESS, {"protocol": PROTOCOL}, format="json").status_code == 401


class TestTokenApi:
    def test_makes_lists_and_revokes(self, api_for, root):
        client = api_for(root)
        made = client.post(TOKENS, {"note": "mars", "labels": {"rack": "7"}}, format="json")
        assert made.status_code == 201
        text = made.json()["token"]
        assert made.json()["command"].endswith(f"TOKEN={text}")
        listed = client.get(TOKENS)
        assert text not in listed.content.decode()
        assert listed.json()["results"][0]["note"] == "mars"

        assert client.delete(made.json()["url"]).status_code == 204

        with pytest.raises(JoinRefused):
            node_join(token=text, name="mars")

    def test_is_closed_to_others(self, api_for, ana, root):
        for client in (api_for(ana), api_for(root, "read")):
            assert client.post(TOKENS, {}, format="json").status_code == 403
        assert api_for(ana).get(TOKENS).status_code == 403
        assert APIClient().get(TOKENS).status_code == 401


def basic(name: str, secret: str) -> str:
    import base64

    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def test_the_command_prints_the_token_and_what_to_paste(capsys, settings):
    from django.core.management import call_command

    settings.PUBLIC_URL = "http://127.0.0.1:8000"
    call_command("join_token_create", "--note", "mars", "--label", "rack=7")

    said = capsys.readouterr().out
    text = said.split()[0]
    assert f"make worker JOIN=http://192.0.2.7:8000 TOKEN={text}" in said
    assert joining.node_join(token=text, name="mars")[0].labels == {"rack": "7"}
