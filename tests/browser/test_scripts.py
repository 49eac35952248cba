"""The scripts of the console in a real browser: live regions, log, chart, dialogs, palette."""

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from models_app.events.publish import publish_now
from tests.browser import stage as stages
from tests.browser.conftest import overflow
from tests.browser.looks import in_looks


@pytest.fixture
def stage(settings, monkeypatch):
    settings.ROOT_URLCONF = "tests.browser.stage"
    monkeypatch.setattr(stages, "stage", stages.Stage())
    return stages.stage


@pytest.fixture
def ana(stage, transactional_db):
    return get_user_model().objects.create_user(
        "ana@example.com", "a long password", name="Ana Bel"
    )


@pytest.fixture
def as_ana(page, sign_in, ana):
    return sign_in(page, ana)


def live(page) -> None:
    expect(page.locator("#live")).to_have_attribute("data-state", "live")


class TestLiveRegion:
    def ring(self, ana, **data) -> None:
        publish_now("job.changed", data, f"user.{ana.pk}")

    def test_an_event_refreshes_the_region(self, as_ana, ana, stage) -> None:
        as_ana.open("/counter/")
        live(as_ana)

        stage.counter = 7
        self.ring(ana)

        expect(as_ana.locator("#value")).to_have_text("7")

    def test_what_is_typed_and_opened_survives(self, as_ana, ana, stage) -> None:
        as_ana.open("/counter/")
        live(as_ana)
        as_ana.locator("#more summary").click()
        as_ana.locator("#typed").fill("half a wo")

        stage.counter = 8
        self.ring(ana)
        as_ana.wait_for_timeout(800)

        expect(as_ana.locator("#value")).to_have_text("0")  # waits while the field has the focus
        as_ana.locator("h1").click()
        as_ana.locator("#typed").blur()
        expect(as_ana.locator("#value")).to_have_text("8")
        expect(as_ana.locator("#typed")).to_have_value("half a wo")
        expect(as_ana.locator("#inner")).to_be_visible()

    def test_a_flood_of_events_is_few_fetches(self, as_ana, ana, stage) -> None:
        as_ana.open("/counter/")
        live(as_ana)
        as_ana.wait_for_timeout(1000)
        asked = []
        as_ana.on("request", lambda r: asked.append(r.url) if "/counter/" in r.url else None)

        for number in range(200):
            stage.counter = number + 1
            self.ring(ana)

        expect(as_ana.locator("#value")).to_have_text("200")
        assert len(asked) <= 6

    def test_a_lost_socket_is_said_and_mended(self, as_ana, ana, stage) -> None:
        as_ana.context.add_init_script(
            "window.sockets = []; const Real = WebSocket; window.WebSocket = class extends Real {"
            "constructor(...a) { super(...a); window.sockets.push(this); } };"
        )
        as_ana.open("/counter/")
        live(as_ana)

        as_ana.evaluate("window.sockets.at(-1).close()")
        expect(as_ana.locator("#live")).to_have_attribute("data-state", "reconnecting")
        stage.counter = 9

        live(as_ana)
        expect(as_ana.locator("#value")).to_have_text("9")


class TestLog:
    def test_new_lines_arrive_in_order_and_once(self, as_ana, ana, stage) -> None:
        stage.log = [("info", f"line {n}") for n in range(1, 301)]
        as_ana.open("/log/")
        live(as_ana)

        for start in range(301, 5301, 500):
            stage.log += [("info", f"line {n}") for n in range(start, start + 500)]
            publish_now("job.log", {"log_seq": len(stage.log)}, f"user.{ana.pk}")

        expect(as_ana.locator("#L5300")).to_be_attached()
        seqs = as_ana.evaluate(
            "[...document.querySelectorAll('.log-line')].map((l) => Number(l.id.slice(1)))"
        )
        assert seqs == list(range(101, 5301))
        assert as_ana.evaluate("document.querySelector('#L5300 span').textContent") == "line 5300"
        expect(as_ana.locator("#L5300")).to_be_in_viewport()
        assert as_ana.locator(".log-gap").count() == 0

    def test_colours_are_classes_and_text_is_escaped(self, as_ana, stage) -> None:
        stage.log = [("info", "\x1b[32mgreen\x1b[0m <img src=x onerror=alert(1)>")]
        as_ana.open("/log/")

        expect(as_ana.locator("#L1 .ansi-green-fg")).to_have_text("green")
        assert as_ana.locator("#L1 img").count() == 0

    def test_scrolling_up_ends_following_and_the_button_returns(self, as_ana, ana, stage) -> None:
        stage.log = [("info", f"line {n}") for n in range(1, 301)]
        as_ana.open("/log/")
        live(as_ana)
        as_ana.locator(".log").hover()

        as_ana.mouse.wheel(0, -600)
        expect(as_ana.locator("[data-log-follow]")).to_have_attribute("aria-pressed", "false")
        stage.log += [("info", "later")] * 12
        publish_now("job.log", {"log_seq": 312}, f"user.{ana.pk}")

        expect(as_ana.locator(".log-new")).to_have_text("12 new lines")
        as_ana.locator(".log-new button").click()
        expect(as_ana.locator("#L312")).to_be_in_viewport()

    def test_search_counts_every_occurrence(self, as_ana, stage) -> None:
        stage.log = [("info", "loss loss"), ("info", "Loss"), ("info", "x")]
        as_ana.open("/log/")

        as_ana.locator("[data-page-search]").fill("loss")

        expect(as_ana.locator(".log-hits")).to_have_text("1 of 3")
        as_ana.locator("[data-page-search]").press("Enter")
        expect(as_ana.locator(".log-hits")).to_have_text("2 of 3")

    def test_level_hides_lesser_lines(self, as_ana, stage) -> None:
        stage.log = [("info", "a"), ("warning", "b"), ("error", "c"), ("debug", "d")]
        as_ana.open("/log/")

        as_ana.locator("[data-log-level]").select_option("warning")

        assert [as_ana.locator(f"#L{n}").is_visible() for n in (1, 2, 3, 4)] == [
            False, True, True, False,
        ]  # fmt: skip

    def test_an_anchor_far_up_loads_its_surroundings(self, as_ana, stage) -> None:
        stage.log = [("info", f"line {n}") for n in range(1, 60_001)]
        as_ana.open("/log/#L123")

        expect(as_ana.locator("#L123")).to_be_in_viewport()
        expect(as_ana.locator("#L123")).to_have_class("log-line lv-info is-marked")
        as_ana.locator("[data-log-follow]").click()
        expect(as_ana.locator("#L60000")).to_be_in_viewport()

    def test_earlier_lines_come_on_demand(self, as_ana, stage) -> None:
        stage.log = [("info", f"line {n}") for n in range(1, 1001)]
        as_ana.open("/log/")

        as_ana.locator(".log-earlier button").evaluate("(button) => button.click()")

        expect(as_ana.locator("#L301")).to_be_attached()
        expect(as_ana.locator("#L1000")).to_be_attached()

    def test_a_flood_keeps_the_page_alive(self, as_ana, ana, stage) -> None:
        """20,000 lines a second for two seconds: all come, the page stays bounded."""
        stage.log = [("info", "start")]
        as_ana.open("/log/")
        live(as_ana)
        as_ana.evaluate(
            """() => { window.worst = 0; let last = performance.now();
              (function tick() { const now = performance.now();
                window.worst = Math.max(window.worst, now - last); last = now;
                requestAnimationFrame(tick); })(); }"""
        )

        for _ in range(20):
            stage.log += [("info", "step 1 loss 2.1 " * 4)] * 2000
            publish_now("job.log", {"log_seq": len(stage.log)}, f"user.{ana.pk}")
            as_ana.wait_for_timeout(100)

        worst = as_ana.evaluate("window.worst")
        as_ana.until("document.getElementById('L40001')")
        lines = as_ana.locator(".log-line").count()
        print(f"worst frame {worst:.0f} ms, {lines} lines in the page")
        assert lines <= 21_000


class TestChart:
    def test_points_come_live_and_the_table_shows_them(self, as_ana, ana, stage) -> None:
        stage.points = [(step, 3 - step / 100) for step in range(0, 100, 10)]
        as_ana.open("/log/")
        live(as_ana)
        expect(as_ana.locator(".plot canvas")).to_be_visible()

        stage.points.append((100, 1.25))
        publish_now("job.metric", {"metric_step": 100}, f"user.{ana.pk}")

        expect(as_ana.locator(".key b")).to_have_text("1.25")
        as_ana.locator(".plot-table summary").click()
        expect(as_ana.locator("#loss-table tr").last).to_have_text("1001.25")

    def test_a_chart_without_values_fills_itself(self, as_ana, ana, stage) -> None:
        as_ana.open("/log/")
        live(as_ana)
        expect(as_ana.locator(".plot")).to_have_text("No values yet")

        stage.points.append((1, 4.5))
        publish_now("job.metric", {"metric_step": 1}, f"user.{ana.pk}")

        expect(as_ana.locator(".key b")).to_have_text("4.5")


class TestDialogs:
    def test_a_form_is_sent_only_after_the_question(self, as_ana, stage) -> None:
        as_ana.open("/counter/")

        as_ana.locator("#stop").click()
        expect(as_ana.locator("#confirm-title")).to_have_text("Stop it?")
        as_ana.locator("#confirm-cancel").click()
        assert stage.posts == []
        as_ana.locator("#stop").click()
        as_ana.locator("#confirm-ok").click()

        expect(as_ana.locator(".toast-card")).to_contain_text("Done: stop")
        assert [p["verb"] for p in stage.posts] == ["stop"]

    def test_what_is_lost_for_good_must_be_typed(self, as_ana, stage) -> None:
        as_ana.open("/counter/")
        as_ana.locator("#delete").click()

        expect(as_ana.locator("#confirm-ok")).to_be_disabled()
        as_ana.locator("#confirm-input").fill("counter")
        as_ana.locator("#confirm-input").press("Enter")

        expect(as_ana.locator(".toast-card")).to_contain_text("Done: delete")

    def test_a_reason_is_asked_and_sent(self, as_ana, stage) -> None:
        as_ana.open("/counter/")
        as_ana.locator("#reject").click()

        expect(as_ana.locator("#confirm-ok")).to_be_disabled()
        as_ana.locator("#confirm-reason").fill("too slow")
        as_ana.locator("#confirm-ok").click()

        expect(as_ana.locator(".toast-card")).to_contain_text("Done: reject")
        assert stage.posts[0]["why"] == "too slow"

    def test_escape_sends_nothing(self, as_ana, stage) -> None:
        as_ana.open("/counter/")
        as_ana.locator("#stop").click()
        as_ana.keyboard.press("Escape")
        expect(as_ana.locator("#confirm")).to_be_hidden()
        assert stage.posts == []


class TestShell:
    def test_palette_finds_pages_and_things(self, as_ana, stage) -> None:
        stage.results = [
            {
                "label": "support",
                "sub": "Model",
                "href": "/log/",
                "icon": "cube",
                "group": "Models",
            },
            {"label": "evil", "href": "https://evil.example", "icon": "cube", "group": "Models"},
        ]
        as_ana.open("/counter/")
        as_ana.keyboard.press("Control+k")
        as_ana.locator("#palette input").fill("supp")

        expect(as_ana.locator("#palette-list [role=option]")).to_have_count(1)
        as_ana.keyboard.press("Enter")
        as_ana.wait_for_url("**/log/")

    def test_g_and_a_letter_go_to_an_area(self, as_ana) -> None:
        as_ana.open("/counter/")
        as_ana.keyboard.press("g")
        as_ana.keyboard.press("m")
        as_ana.wait_for_url("**/log/")

    def test_the_theme_is_kept(self, as_ana) -> None:
        as_ana.open("/counter/")
        as_ana.keyboard.press("t")
        as_ana.reload()

        assert as_ana.evaluate("document.documentElement.dataset.bsTheme") == "dark"

    def test_the_language_switch_comes_back_to_the_page(self, as_ana) -> None:
        as_ana.open("/counter/?a=1")
        as_ana.locator(".dropdown > .tool").click()
        as_ana.get_by_role("button", name="简体中文").click()

        expect(as_ana.locator("html")).to_have_attribute("lang", "zh-hans")
        assert as_ana.page.url.endswith("/counter/?a=1")
        expect(as_ana.locator("#nav")).to_contain_text("任务")

    def test_a_part_of_a_form_follows_a_choice(self, as_ana) -> None:
        as_ana.open("/form/")
        expect(as_ana.locator("#id_layers")).to_be_hidden()

        as_ana.locator("#id_preset").select_option("own")

        expect(as_ana.locator("#id_layers")).to_be_visible()

    def test_errors_stand_beside_their_fields(self, as_ana, screenshot) -> None:
        as_ana.open("/form/")
        as_ana.get_by_role("button", name="Create").click()

        expect(as_ana.locator("#id_name_error")).to_be_visible()
        screenshot(as_ana, "form-errors")

    @in_looks
    def test_layout_holds(
        self, new_page, sign_in, ana, stage, screenshot, phone, theme, language
    ) -> None:
        page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
        stage.log = [("warning" if n % 9 == 0 else "info", f"step {n} loss 2.1") for n in range(60)]
        stage.points = [(step, 3 - step / 100) for step in range(0, 100, 5)]
        for path in ("/counter/", "/log/", "/form/"):
            page.open(path)
            assert overflow(page) == []
            screenshot(page, f"{path.strip('/')}-{'phone' if phone else 'wide'}-{theme}")
