"""A real Chromium, and the real ASGI application of the console on the test database.

Fixtures: `console_url` (the running console), `browser`, `page` (fails its test on console errors,
failed scripts and policy violations), `sign_in` (a page signed in as somebody), `screenshot`.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import uvicorn
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import connections

from tests.browser.looks import FULL
from tests.waiting import WAIT_S

#: The shell has no window, no toolbar and no profile: a page costs a fifth of the processor time.
SHELL = Path("/usr/bin/chromium-headless-shell")
CHROMIUM = Path(
    os.environ.get("SLIPWAY_CHROMIUM", SHELL if SHELL.exists() else "/usr/bin/chromium")
)
SWITCHES = [
    "--headless" if "headless-shell" in CHROMIUM.name else "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SHOTS = Path(__file__).resolve().parents[2] / "artifacts" / "screenshots"
FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason=f"no Chromium at {CHROMIUM}: run `make browser`")
    for item in items:
        if FOLDER in Path(item.path).parents:
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM.exists():
                item.add_marker(missing)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for a module: its event loop must be gone before asynchronous tests run."""
    # Playwright keeps an event loop in this thread; Django must not take that for async code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_S * 1000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=SWITCHES)
        yield chromium
        chromium.close()
    os.environ.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)


class Console:
    """The console served by uvicorn in a thread of this process, so on the test database."""

    def __init__(self) -> None:
        # Files are read anew each time, so that one can work on them while tests run.
        settings.WHITENOISE_AUTOREFRESH = True
        from console.asgi import application

        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = uvicorn.Config(
            application, log_level="warning", timeout_graceful_shutdown=2, ws_max_size=65536
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self._serve, daemon=True, name="console")

    def _serve(self) -> None:
        self.server.run(sockets=[self.socket])

    def start(self) -> None:
        self.thread.start()
        deadline = time.monotonic() + WAIT_S
        while not self.server.started and time.monotonic() < deadline:
            time.sleep(0.02)
        with urlopen(f"{self.url}/static/favicon.svg", timeout=WAIT_S) as answer:
            assert answer.status == 200

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(15)
        self.socket.close()


@pytest.fixture
def console_url(transactional_db: None) -> Iterator[str]:
    """Address of a console that sees the rows of this test."""
    console = Console()
    settings.CSRF_TRUSTED_ORIGINS = [console.url]
    console.start()
    yield console.url
    console.stop()
    connections.close_all()


class Page:
    """Wraps a Playwright page and remembers everything that went wrong in it."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.url = url
        self.problems: list[str] = []
        #: Parts of messages that a test provokes on purpose.
        self.expected: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(
                f"{message.type}: {message.text} ({message.location.get('url', '')})"
            )

    def unexpected(self) -> list[str]:
        return [p for p in self.problems if not any(part in p for part in self.expected)]

    def open(self, path: str) -> Any:
        return self.page.goto(self.url + path)

    def until(self, expression: str, seconds: float = WAIT_S) -> None:
        """Waits until an expression of JavaScript is true.

        Not Playwright's `wait_for_function`, which the policy of the pages forbids to look again.
        """
        self.page.evaluate(
            f"""() => new Promise((met, missed) => {{
              const end = performance.now() + {seconds * 1000};
              const look = () => {{
                if ({expression}) met();
                else if (performance.now() > end) missed(new Error('not within {seconds} s'));
                else setTimeout(look, 50);
              }};
              look();
            }})"""
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)


NewPage = Callable[..., Page]


@pytest.fixture
def new_page(browser: Any, console_url: str) -> Iterator[NewPage]:
    """Makes pages: `new_page(phone=True, theme="dark", language="zh-hans")`."""
    pages: list[Page] = []
    contexts: list[Any] = []

    def make(
        *, phone: bool = False, theme: str = "light", language: str = "en", scripts: bool = True
    ) -> Page:
        size = {"width": 390, "height": 844} if phone else {"width": 1440, "height": 900}
        context = browser.new_context(
            viewport=size,
            is_mobile=phone,
            has_touch=phone,
            color_scheme=theme,
            locale="zh-CN" if language.startswith("zh") else "en-GB",
            java_script_enabled=scripts,
        )
        context.set_default_timeout(WAIT_S * 1000)
        page = Page(context.new_page(), console_url)
        contexts.append(context)
        pages.append(page)
        return page

    yield make
    found = [problem for page in pages for problem in page.unexpected()]
    for context in contexts:
        context.close()
    assert not found, "the browser complained:\n" + "\n".join(found)


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """A wide page in the light theme, not signed in."""
    return new_page()


@pytest.fixture
def sign_in() -> Callable[[Page, Any], Page]:
    """Signs a person in without the form: `sign_in(page, ana)`."""

    def sign(page: Page, user: Any) -> Page:
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "console.access.backends.RoleBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        name = settings.SESSION_COOKIE_NAME
        cookie = {"name": name, "value": session.session_key, "url": page.url}
        page.context.add_cookies([cookie])
        return page

    return sign


@pytest.fixture
def screenshot(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Keeps a picture under artifacts/screenshots/, which git ignores: `make looks` only."""

    def shoot(page: Page, name: str = "", *, full: bool = True) -> None:
        if FULL:
            SHOTS.mkdir(parents=True, exist_ok=True)
            path = SHOTS / f"{name or request.node.name}.png"
            page.screenshot(path=str(path), full_page=full)

    return shoot


def overflow(page: Page) -> list[str]:
    """Elements that stick out of the page at its right; empty when the layout holds."""
    return page.evaluate(
        """() => {
          const wide = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= wide) return [];
          return [...document.querySelectorAll('body *')]
            .filter((e) => e.getBoundingClientRect().right > wide + 1
              && !e.closest('.tbl-wrap, .log, .tabs, .snippet, .diff-wrap, svg'))
            .slice(0, 5).map((e) => e.tagName + '.' + e.className);
        }"""
    )


AXE = Path(__file__).resolve().parents[2] / "tools/node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture
def violations() -> Callable[[Page], list[str]]:
    """What axe-core finds wrong on a page; skips where `cd tools && npm ci` was never run."""
    if not AXE.exists():
        pytest.skip("no axe-core: run `npm ci --ignore-scripts` in tools/")

    def find(page: Page) -> list[str]:
        page.evaluate(AXE.read_text(encoding="utf-8"))
        return page.evaluate(
            """async (rules) => (await axe.run(document, { runOnly: rules })).violations.map((v) =>
              `${v.impact} ${v.id}: ` + v.nodes.slice(0, 3).map((n) => n.target.join(' ')
                + ' ' + (n.any[0]?.message ?? '').slice(0, 110)).join(' | '))""",
            RULES,
        )

    return find
