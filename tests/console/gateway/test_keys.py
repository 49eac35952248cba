"""Keys: good at once, gone at once, and never more than their owner may do now."""

import datetime as dt
import threading
import time

import pytest
from django.db import OperationalError

from console.access.browser_tokens import LIFETIME_S, browser_token
from console.access.models import ApiToken, Membership, User
from console.access.tokens import token_secret
from console.gateway import tables
from models_app.core.clock import now
from models_app.events.publish import publish_now
from tests.factories.access import ApiTokenFactory
from tests.fakes.gateway import CHAT, eventually, key_of
from tests.waiting import WAIT_S


def works(gateway, key: str) -> bool:
    return gateway.call(key, CHAT).status == 200


def looked_again(gateway) -> None:
    """The gateway has read its tables anew, as it does every second.

    Twice, for the first of the two may have begun before what the test has changed.
    """
    assert tables.POLL_S <= 1
    keys, done = gateway.gateway.tables.keys, []
    apply = keys.apply

    def applied(*given):
        apply(*given)
        done.append(given)

    keys.apply = applied
    try:
        eventually(lambda: len(done) > 1)
    finally:
        keys.apply = apply


class TestToken:
    def test_a_fresh_one_works_at_once(self, gateway, chat, ana):
        for _ in range(3):
            assert works(gateway, key_of(ana))

    def test_one_that_was_asked_before_it_existed_works_within_a_second(self, gateway, chat, ana):
        text, prefix, digest = token_secret()
        assert not works(gateway, text)
        ApiToken.objects.create(user=ana, name="x", prefix=prefix, digest=digest, scopes=["infer"])

        looked_again(gateway)
        assert works(gateway, text)

    def test_a_revoked_one_is_refused_within_a_second_without_any_notice(self, gateway, chat, ana):
        key = key_of(ana)
        assert works(gateway, key)

        ApiToken.objects.update(revoked_at=now())

        looked_again(gateway)
        assert not works(gateway, key)

    def test_a_notice_makes_a_revocation_count_at_once(self, gateway, chat, ana, monkeypatch):
        monkeypatch.setattr("console.gateway.tables.POLL_S", 60)
        key = key_of(ana)
        assert works(gateway, key)
        eventually(lambda: gateway.gateway.tables._notice is not None)

        ApiToken.objects.update(revoked_at=now())
        publish_now("keys.changed", {}, "gateway")

        eventually(lambda: not works(gateway, key), seconds=30)

    def test_an_expired_one_is_refused(self, gateway, chat, ana):
        soon = ApiTokenFactory(
            user=ana, scopes=["infer"], expires_at=now() + dt.timedelta(seconds=0.5)
        )
        assert works(gateway, soon.secret)

        eventually(lambda: now() > soon.expires_at)
        looked_again(gateway)
        assert not works(gateway, soon.secret)

    @pytest.mark.parametrize(
        "change",
        [
            lambda user: Membership.objects.filter(user=user).delete(),
            lambda user: User.objects.filter(pk=user.pk).update(is_active=False),
        ],
        ids=["left the team", "deactivated"],
    )
    def test_it_never_does_more_than_its_owner_may(self, gateway, chat, ana, change):
        key = key_of(ana)
        assert works(gateway, key)

        change(ana)

        looked_again(gateway)
        assert not works(gateway, key)

    def test_a_flood_of_unknown_keys_costs_few_queries(self, gateway, chat, monkeypatch):
        from console.gateway import loading

        asked: list[int] = []
        all_there = threading.Event()
        real = loading.load_keys

        def counted(items):
            asked.append(len(items))
            assert all_there.wait(20)
            return real(items)

        monkeypatch.setattr(loading, "load_keys", counted)
        opened = [gateway.open("slip_" + f"{n:043d}", CHAT) for n in range(60)]
        all_there.set()

        assert {connection.getresponse().status for connection in opened} == {401}
        assert sum(asked) == 60 and len(asked) < 20

    def test_without_the_database_known_keys_go_on_and_others_are_told_to_wait(
        self, gateway, chat, ana, monkeypatch
    ):
        known, unknown = key_of(ana), key_of(ana)
        assert works(gateway, known)

        def down(*_):
            raise OperationalError("down")

        for name in ("load_keys", "load_tables"):
            monkeypatch.setattr(f"console.gateway.loading.{name}", down)

        assert works(gateway, known)
        reply = gateway.call(unknown, CHAT)
        assert (reply.status, reply.code) == (503, "unavailable")
        monkeypatch.undo()
        assert works(gateway, unknown)

    def test_a_database_that_hangs_keeps_nobody_hanging(self, gateway, chat, ana, monkeypatch):
        known, unknown = key_of(ana), key_of(ana)
        assert works(gateway, known)
        goes_on = threading.Event()
        monkeypatch.setattr("console.gateway.keys.LOOK_UP_S", 0.2)

        def hang(_):
            goes_on.wait(WAIT_S)
            return {}

        monkeypatch.setattr("console.gateway.loading.load_keys", hang)

        assert gateway.call(unknown, CHAT).code == "unavailable"
        assert works(gateway, known)
        goes_on.set()


class TestPageToken:
    def test_works_for_a_member_and_stays_within_the_team(self, gateway, chat, ana, cai):
        assert works(gateway, browser_token(ana))
        assert gateway.call(browser_token(cai), CHAT).status == 404

    def test_ends_with_its_time(self, gateway, chat, ana, monkeypatch):
        past = time.time() - LIFETIME_S - 1
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: past)
            old = browser_token(ana)

        assert not works(gateway, old)

    def test_ends_with_the_password(self, gateway, chat, ana):
        token = browser_token(ana)
        assert works(gateway, token)

        ana.set_password("another password entirely")
        ana.save()

        looked_again(gateway)
        assert not works(gateway, token)

    def test_cannot_be_altered(self, gateway, chat, ana, root):
        ours, theirs = browser_token(ana), browser_token(root)
        forged = theirs.rsplit(":", 2)[0] + ":" + ":".join(ours.rsplit(":", 2)[1:])

        assert not works(gateway, forged)
