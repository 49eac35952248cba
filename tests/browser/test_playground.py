"""The playground in a real browser, through the real gateway, with model servers that are fakes."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import overflow
from tests.fakes.gateway import fakes, record_of, serve
from tests.fakes.replica import WORDS

__all__ = ["fakes"]
TEXT = "".join(WORDS)


@pytest.fixture
def pair(team, fakes):
    """research/chat and research/other."""
    servers = {"chat": fakes(), "other": fakes()}
    for name, fake in servers.items():
        serve(team, name, fake)
    return servers


@pytest.fixture
def as_ana(pair, page, sign_in, ana):
    return sign_in(page, ana)


def answer(page, pane: str = "a"):
    return page.locator(f"[data-pane={pane}] .msg:not(.from-user) .msg-body").last


def ask(page, text: str = "Where is my parcel?") -> None:
    page.get_by_role("button", name="Chat", exact=True).click()
    page.fill("#prompt", text)
    page.press("#prompt", "Control+Enter")


class TestPlayground:
    def test_streams_an_answer_with_its_figures(self, as_ana, pair):
        pair["chat"].pause_s = 0.02
        as_ana.open("/playground/?a=research/chat")
        as_ana.get_by_role("button", name="Chat", exact=True).click()
        as_ana.fill("#system", "Be brief.")
        as_ana.fill("#p-seed", "17")
        ask(as_ana)

        expect(answer(as_ana)).to_have_text(TEXT)
        expect(as_ana.locator("[data-cost]").first).to_have_text("7 + 5")
        expect(as_ana.locator("[data-ttft]").first).to_contain_text("ms")
        sent = pair["chat"].calls[0]
        assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
        assert (sent["seed"], sent["max_tokens"]) == (17, 256)
        expect(as_ana.locator(".msg-tools .mono")).to_contain_text("req-")
        link = as_ana.locator(".msg-tools a")
        expect(link).to_have_attribute(
            "href", re.compile(r"/deployments/research/chat/.*request=req-")
        )
        row = record_of(as_ana.locator(".msg-tools .mono").inner_text().split()[-1])
        assert row.token_prefix == "playground"

    def test_goes_on_with_the_conversation(self, as_ana, pair):
        as_ana.open("/playground/?a=research/chat")
        ask(as_ana, "One")
        expect(as_ana.locator(".msg-tools")).to_have_count(1)
        ask(as_ana, "Two")
        expect(as_ana.locator(".msg-tools")).to_have_count(2)

        said = [message["content"] for message in pair["chat"].calls[1]["messages"]]
        assert said == ["One", TEXT, "Two"]

    def test_asks_two_at_the_same_time(self, as_ana, pair):
        as_ana.open("/playground/?a=research/chat&b=research/other")
        ask(as_ana)

        for pane in "ab":
            expect(answer(as_ana, pane)).to_have_text(TEXT)
        assert len(pair["chat"].calls) == len(pair["other"].calls) == 1

    def test_stops_at_once(self, as_ana, pair):
        pair["chat"].mode, pair["chat"].pause_s = "endless", 0.01
        as_ana.open("/playground/?a=research/chat")
        ask(as_ana)
        expect(answer(as_ana)).to_contain_text("late")

        as_ana.locator("[data-stop-all]").click()

        assert pair["chat"].hung_up.wait(2)
        expect(as_ana.get_by_text("Stopped")).to_be_visible()

    def test_continues_text(self, as_ana, pair):
        as_ana.open("/playground/?a=research/chat")
        as_ana.get_by_role("button", name="Complete text").click()
        as_ana.fill("#prompt", "Once upon ")
        as_ana.get_by_role("button", name="Send").click()

        expect(answer(as_ana)).to_have_text(TEXT)
        assert pair["chat"].calls[0]["prompt"] == "Once upon "

    def test_shows_errors_in_words(self, as_ana, pair):
        as_ana.expected = ["429"]
        pair["chat"].mode = "queue_full"
        as_ana.open("/playground/?a=research/chat")
        ask(as_ana)

        expect(as_ana.locator(".thread .note")).to_contain_text("replicas_busy")
        expect(as_ana.locator(".thread .note")).to_contain_text("is busy")

    def test_a_lost_replica_is_told_beside_what_came(self, as_ana, pair):
        pair["chat"].mode = "die"
        as_ana.open("/playground/?a=research/chat")
        ask(as_ana)

        expect(answer(as_ana)).to_have_text("Parcels")
        expect(as_ana.locator(".thread .note")).to_contain_text("replica_lost")

    def test_shows_the_request_as_code(self, as_ana):
        as_ana.open("/playground/?a=research/chat")
        as_ana.get_by_role("button", name="Chat", exact=True).click()
        as_ana.fill("#prompt", 'It\'s "here" $HOME')
        as_ana.get_by_role("button", name="View code").click()

        curl = as_ana.locator("#code-curl")
        expect(curl).to_contain_text("/v1/chat/completions")
        expect(curl).to_contain_text("It'\\''s \\\"here\\\" $HOME")
        code = as_ana.locator("#code-python").inner_text()
        compile(code, "snippet", "exec")
        assert "stream=True" in code and "research/chat" in code

    def test_the_address_follows_the_choice(self, as_ana):
        as_ana.open("/playground/?a=research/chat")
        as_ana.get_by_role("button", name="2", exact=True).click()
        as_ana.locator("[data-pane=b] select").select_option("research/other")

        address = f"{as_ana.url}/playground/?a=research%2Fchat&b=research%2Fother"
        expect(as_ana.page).to_have_url(address)

    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_fits_a_phone(self, new_page, sign_in, ana, pair, theme, screenshot, violations):
        phone = sign_in(new_page(phone=True, theme=theme), ana)
        phone.open("/playground/?a=research/chat&b=research/other")
        ask(phone)
        expect(answer(phone, "b")).to_have_text(TEXT)

        screenshot(phone, f"playground-phone-{theme}")
        assert overflow(phone) == []
        assert violations(phone) == []
