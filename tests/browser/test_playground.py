"""The playground in a real browser, through the real gateway, with model servers that are fakes."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import overflow
from tests.fakes.gateway import fakes, record_of, serve
from tests.fakes.replica import WORDS
from tests.waiting import WAIT_S

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
            "href", re.compile(r"/deployments/research/chat/requests/req-")
        )
        expect(as_ana.locator(".msg-tools .chip")).to_contain_text("research/chat r1, replica ")
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

        assert pair["chat"].hung_up.wait(WAIT_S)
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

    @pytest.mark.parametrize("task", ["Chat", "Complete text"])
    def test_shows_how_likely_each_token_was(self, as_ana, pair, task):
        as_ana.open("/playground/?a=research/chat")
        as_ana.get_by_role("button", name=task, exact=True).click()
        as_ana.get_by_text("Show how likely each token was").click()
        as_ana.fill("#prompt", "Where?")
        as_ana.press("#prompt", "Control+Enter")

        expect(answer(as_ana)).to_have_text(TEXT)
        tokens = answer(as_ana).locator(".tok")
        expect(tokens).to_have_count(len(WORDS))
        # 1, 1/2, 1/3, 1/4, 1/5
        looks = [tokens.nth(n).get_attribute("class") for n in range(len(WORDS))]
        assert looks == ["tok tok-0", "tok tok-2", "tok tok-2", "tok tok-3", "tok tok-3"]
        assert tokens.nth(1).get_attribute("aria-label") == "cels, 50.0%"
        body = pair["chat"].calls[0]
        asked = (body["logprobs"], body.get("top_logprobs"))
        assert asked == ((True, 5) if task == "Chat" else (5, None))

        # One stop in the tab order, the arrows go on; the card says the rest.
        assert answer(as_ana).locator("[tabindex='0']").count() == 1
        tokens.first.focus()
        as_ana.keyboard.press("ArrowRight")
        expect(tokens.nth(1)).to_be_focused()
        card = as_ana.locator("[data-pane=a] [data-token]")
        expect(card).to_contain_text("50.0%")
        expect(card).to_contain_text("␣else")
        expect(card).to_contain_text("5.0%")
        as_ana.keyboard.press("End")
        expect(tokens.last).to_be_focused()
        tokens.first.hover()
        expect(card).to_contain_text("100.0%")

    def test_without_scores_there_is_still_an_answer(self, as_ana, pair):
        pair["chat"].scored = False
        as_ana.open("/playground/?a=research/chat")
        as_ana.get_by_text("Show how likely each token was").click()
        ask(as_ana)

        expect(answer(as_ana)).to_have_text(TEXT)
        expect(answer(as_ana).locator(".tok")).to_have_count(0)

    def test_each_answer_may_have_its_own_settings(self, as_ana, pair):
        as_ana.open("/playground/?a=research/chat&b=research/other")
        as_ana.get_by_role("button", name="Chat", exact=True).click()
        as_ana.fill("#system", "Be brief.")
        which = as_ana.locator("[data-settings-of]")
        which.get_by_role("button", name="Second").click()
        as_ana.fill("#p-seed", "5")
        as_ana.fill("#p-stop", "end\nstop")
        as_ana.fill("#system", "Be long.")
        which.get_by_role("button", name="First").click()
        expect(as_ana.locator("#system")).to_have_value("Be brief.")
        ask(as_ana)

        for pane in "ab":
            expect(answer(as_ana, pane)).to_have_text(TEXT)
        first, second = pair["chat"].calls[0], pair["other"].calls[0]
        assert first["messages"][0]["content"] == "Be brief."
        assert "stop" not in first
        assert second["messages"][0]["content"] == "Be long."
        assert (second["seed"], second["stop"]) == (5, ["end", "stop"])

        as_ana.get_by_role("button", name="View code").click()
        as_ana.locator("[data-code-of]").get_by_role("button", name="Second").click()
        code = as_ana.locator("#code-python").inner_text()
        compile(code, "snippet", "exec")
        assert "research/other" in code and "seed=5" in code

    def test_a_wrong_seed_is_shown_where_it_is(self, as_ana, pair):
        as_ana.open("/playground/?a=research/chat&b=research/other")
        which = as_ana.locator("[data-settings-of]")
        which.get_by_role("button", name="Second").click()
        as_ana.fill("#p-seed", "-")
        which.get_by_role("button", name="First").click()
        ask(as_ana)

        expect(as_ana.get_by_text("The seed is a whole number.")).to_be_visible()
        expect(as_ana.locator("#p-seed")).to_have_value("-")
        assert not pair["chat"].calls and not pair["other"].calls

    def test_says_that_an_answer_was_kept(self, team, fakes, page, sign_in, ana):
        serve(team, "chat", fakes(), response_cache_s=60)
        sign_in(page, ana).open("/playground/?a=research/chat")
        page.fill("#p-seed", "1")
        ask(page)
        expect(page.locator(".msg-tools")).to_have_count(1)
        page.get_by_role("button", name="Ask again").click()
        expect(page.locator(".msg-tools")).to_have_count(2)

        expect(page.locator(".msg-who .chip")).to_have_text("From the cache of answers")

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
        phone.get_by_text("Show how likely each token was").click()
        ask(phone)
        expect(answer(phone, "b")).to_have_text(TEXT)
        answer(phone).locator(".tok").nth(3).click()
        expect(phone.locator(".msg-tools a")).to_have_count(2)

        screenshot(phone, f"playground-phone-{theme}")
        assert overflow(phone) == []
        assert violations(phone) == []

    def test_looks_the_same_on_a_desk(self, as_ana, screenshot, violations):
        as_ana.open("/playground/?a=research/chat&b=research/other")
        as_ana.get_by_text("Show how likely each token was").click()
        ask(as_ana)
        expect(answer(as_ana, "b")).to_have_text(TEXT)
        answer(as_ana).locator(".tok").nth(3).click()
        expect(as_ana.locator(".msg-tools a")).to_have_count(2)

        screenshot(as_ana, "playground-wide")
        assert overflow(as_ana) == []
        assert violations(as_ana) == []
