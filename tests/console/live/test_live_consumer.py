"""The socket of the browser: who gets in, what may be heard, and when it is cut."""

import asyncio
import json

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth import get_user_model
from django.test import Client

from console.access.models import Membership, Team
from console.live import consumers
from console.live.routing import websocket_application
from models_app.events.publish import publish_now
from tests.waiting import WAIT_S

pytestmark = pytest.mark.django_db(transaction=True)
ORIGIN = (b"origin", b"http://localhost")


@pytest.fixture
def team():
    return Team.objects.create(slug="search", title="Search")


def person(name: str, team: Team | None = None, role: str = "developer"):
    user = get_user_model().objects.create_user(f"{name}@example.com", "a long password", name=name)
    if team is not None:
        Membership.objects.create(user=user, team=team, role=role)
    return user


@pytest.fixture
def ana(team):
    return person("ana", team, "admin")


@pytest.fixture
def cai():
    return person("cai")


def cookies(user) -> bytes:
    client = Client()
    client.force_login(user, backend="console.access.backends.RoleBackend")
    return "; ".join(f"{k}={m.value}" for k, m in client.cookies.items()).encode()


class Page(ApplicationCommunicator):
    """A page's socket: says and hears JSON."""

    def __init__(self, cookie: bytes = b"", origin: tuple[bytes, bytes] = ORIGIN) -> None:
        scope = {
            "type": "websocket",
            "path": "/ws/live/",
            "query_string": b"",
            "headers": [origin, (b"cookie", cookie)],
            "subprotocols": [],
        }
        super().__init__(websocket_application, scope)

    async def connect(self) -> dict:
        await self.send_input({"type": "websocket.connect"})
        return await self.receive_output(WAIT_S)

    async def disconnect(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1001})
        await self.wait(WAIT_S)

    async def send_text(self, text: str) -> None:
        await self.send_input({"type": "websocket.receive", "text": text})

    async def say(self, **message: str) -> None:
        await self.send_text(json.dumps(message))

    async def hear(self, *, heartbeats: bool = False) -> dict:
        while True:
            message = json.loads((await self.receive_output(WAIT_S))["text"])
            if heartbeats or message["type"] != "heartbeat":
                return message

    async def close_code(self) -> int:
        async with asyncio.timeout(WAIT_S):
            while True:
                message = await self.receive_output(WAIT_S)
                if message["type"] == "websocket.close":
                    return message["code"]

    async def asks(self, topic: str) -> str:
        await self.say(sub=topic)
        return (await self.hear())["type"]


async def page_of(user) -> Page:
    page = Page(await database_sync_to_async(cookies)(user))
    assert (await page.connect())["type"] == "websocket.accept"
    return page


async def ring(topic: str, **data: int) -> None:
    await database_sync_to_async(publish_now)("job.changed", data, topic)


class TestEntrance:
    async def test_nobody_signed_in_is_closed_with_a_code(self) -> None:
        page = Page()

        await page.connect()

        assert await page.close_code() == consumers.SIGNED_OUT

    async def test_a_foreign_origin_is_refused(self, ana) -> None:
        cookie = await database_sync_to_async(cookies)(ana)
        page = Page(cookie, (b"origin", b"https://evil.example"))

        assert (await page.connect())["type"] == "websocket.close"

    @pytest.mark.parametrize(
        "text", ["", "[]", "{", '{"sub": 3}', '{"sub":"a","unsub":"b"}', '{"x":"y"}']
    )
    async def test_nonsense_ends_the_socket(self, ana, text: str) -> None:
        page = await page_of(ana)

        await page.send_text(text)

        assert await page.close_code() == consumers.NOT_OUR_PROTOCOL


class TestTopics:
    async def test_an_event_reaches_the_page(self, ana, team) -> None:
        page = await page_of(ana)
        assert await page.asks(f"team.{team.pk}") == "subscribed"

        await ring(f"team.{team.pk}", id=7)

        assert await page.hear() == {
            "topic": f"team.{team.pk}",
            "type": "job.changed",
            "data": {"id": 7},
        }
        await page.disconnect()

    async def test_an_outsider_is_refused(self, cai, ana, team) -> None:
        page = await page_of(cai)

        answers = [
            await page.asks(topic)
            for topic in (
                f"team.{team.pk}",
                f"user.{ana.pk}",
                "all",
                "job.99999999",
                "job.1;x",
                "x",
            )
        ]

        assert answers == ["refused"] * 6
        await page.disconnect()

    async def test_who_sees_every_team_hears_all_of_them_by_one_topic(self, team) -> None:
        root = await database_sync_to_async(get_user_model().objects.create_user)(
            "root@example.com", "a long password", name="root", is_admin=True
        )
        page = await page_of(root)
        assert await page.asks("all") == "subscribed"

        await ring("user.1")
        await ring(f"team.{team.pk}", id=7)

        assert await page.hear() == {"topic": "all", "type": "job.changed", "data": {"id": 7}}
        await page.disconnect()

    async def test_what_was_left_is_not_heard(self, ana, team) -> None:
        page = await page_of(ana)
        await page.asks(f"team.{team.pk}")

        await page.say(unsub=f"team.{team.pk}")
        assert (await page.hear())["type"] == "unsubscribed"
        await ring(f"team.{team.pk}")

        assert await page.receive_nothing(0.3)
        await page.disconnect()

    async def test_a_socket_holds_a_bounded_number_of_topics(self, ana, team, monkeypatch) -> None:
        monkeypatch.setattr(consumers, "MAX_TOPICS", 1)
        page = await page_of(ana)

        assert await page.asks(f"team.{team.pk}") == "subscribed"
        assert await page.asks(f"user.{ana.pk}") == "refused"
        assert await page.asks(f"team.{team.pk}") == "subscribed"
        await page.disconnect()


class TestRightsWhileItLives:
    async def test_a_removed_member_hears_nothing_more(self, ana, team, monkeypatch) -> None:
        monkeypatch.setattr(consumers.LiveConsumer, "recheck_s", 0.0)
        page = await page_of(ana)
        await page.asks(f"team.{team.pk}")

        await database_sync_to_async(Membership.objects.all().delete)()
        await ring(f"team.{team.pk}", id=7)

        assert await page.hear() == {"topic": f"team.{team.pk}", "type": "unsubscribed"}
        await ring(f"team.{team.pk}", id=8)
        assert await page.receive_nothing(0.3)
        await page.disconnect()

    async def test_rights_are_asked_once_in_a_while_not_for_every_event(
        self, ana, team, monkeypatch
    ) -> None:
        asked = []
        original = consumers.may_listen
        monkeypatch.setattr(consumers, "may_listen", lambda *a: (asked.append(a), original(*a))[1])
        page = await page_of(ana)
        await page.asks(f"team.{team.pk}")

        for number in range(20):
            await ring(f"team.{team.pk}", id=number)
            await page.hear()

        assert len(asked) == 1
        await page.disconnect()

    async def test_an_ended_session_ends_the_socket(self, ana, monkeypatch) -> None:
        from django.contrib.sessions.models import Session

        monkeypatch.setattr(consumers.LiveConsumer, "heartbeat_s", 0.05)
        page = await page_of(ana)

        await database_sync_to_async(Session.objects.all().delete)()

        assert await page.close_code() == consumers.SIGNED_OUT

    async def test_a_deactivated_person_is_cut(self, ana, monkeypatch) -> None:
        monkeypatch.setattr(consumers.LiveConsumer, "heartbeat_s", 0.05)
        page = await page_of(ana)

        await database_sync_to_async(get_user_model().objects.update)(is_active=False)

        assert await page.close_code() == consumers.SIGNED_OUT

    async def test_quiet_sockets_hear_a_heartbeat(self, ana, monkeypatch) -> None:
        monkeypatch.setattr(consumers.LiveConsumer, "heartbeat_s", 0.05)
        page = await page_of(ana)

        assert await page.hear(heartbeats=True) == {"type": "heartbeat"}
        await page.disconnect()


@pytest.fixture(autouse=True)
async def fresh_layer():
    """Each test has its own event loop, so it needs its own connections to Redis."""
    yield
    layer = get_channel_layer()
    await layer.flush()
