"""Datasets in a real browser: uploads with progress, refusals that keep the files, live imports."""

import json

from playwright.sync_api import expect

from models_app.datasets.models import DatasetVersion
from tests.browser.conftest import overflow
from tests.browser.looks import in_phone_dark
from tests.factories.data import pending_version, ready_version, sample_text, stored
from tests.fakes.jobs import run_job

WIDE_LINE = "a_very_long_word_without_a_break_" * 30


def poems(count: int = 400) -> bytes:
    rows = [
        {"text": f"Poem {n}.\n" + "Roses are red, violets are blue.\n" * (n % 40 + 1)}
        for n in range(count)
    ]
    rows[0]["text"] = WIDE_LINE
    return "\n".join(json.dumps(row) for row in rows).encode()


def fill(page, name: str = "poems") -> None:
    page.open("/datasets/new/")
    page.locator("#id_name").fill(name)


def test_upload_refused_then_imported_live(page, sign_in, ana, tmp_path) -> None:
    sign_in(page, ana)
    page.expected = ["422"]
    fill(page, "Not A Name")
    files = [
        {"name": "poems.jsonl", "mimeType": "text/plain", "buffer": poems()},
        {"name": "more.txt", "mimeType": "text/plain", "buffer": sample_text()},
    ]
    page.locator("#id_files").set_input_files(files)
    expect(page.locator(".drop-files li")).to_have_count(3)
    page.locator("main button[type=submit]").click()
    expect(page.locator("#id_name_error")).to_contain_text("lower-case")
    # Nothing is lost: the files are still chosen, and it is sent again with one correction.
    assert page.evaluate("document.querySelector('#id_files').files.length") == 2
    page.locator("#id_name").fill("poems")
    page.locator("main button[type=submit]").click()
    page.wait_for_url("**/datasets/research/poems/versions/1/")

    expect(page.locator("#version-body")).to_contain_text("more.txt")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    run_job(DatasetVersion.objects.get().produced_by, tmp_path)
    expect(page.locator("#version-tabs")).to_be_visible()
    expect(page.locator(".docs > li").first).to_be_visible()


def test_progress_is_shown_and_the_upload_can_be_stopped(page, sign_in, ana) -> None:
    sign_in(page, ana)
    page.expected = ["ERR_"]
    fill(page)
    session = page.page.context.new_cdp_session(page.page)
    session.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 400_000}
    session.send("Network.emulateNetworkConditions", slow)
    data = b"line of text\n" * 300_000
    page.locator("#id_files").set_input_files(
        [{"name": "big.txt", "mimeType": "text/plain", "buffer": data}]
    )
    page.locator("main button[type=submit]").click()
    expect(page.locator("[data-progress-text]")).to_contain_text("KiB/s")
    page.locator("[data-progress-stop]").click()
    expect(page.locator("[data-progress]")).to_be_hidden()
    expect(page.locator("main button[type=submit]")).to_be_enabled()
    assert not DatasetVersion.objects.exists()


def test_what_is_too_large_is_said_before_it_is_sent(page, sign_in, ana, settings) -> None:
    settings.UPLOAD_LIMIT_MIB = 1
    sign_in(page, ana)
    fill(page)
    page.locator("#id_files").set_input_files(
        [{"name": "big.txt", "mimeType": "text/plain", "buffer": b"x" * (2 << 20)}]
    )
    expect(page.locator("#id_files_error")).to_contain_text("at most 1.0 MiB")
    page.locator("main button[type=submit]").click()
    assert page.page.url.endswith("/datasets/new/")


def test_files_can_be_dropped(page, sign_in, ana) -> None:
    sign_in(page, ana)
    fill(page)
    page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(['one two three'], 'dropped.txt', { type: 'text/plain' }));
          const zone = document.querySelector('[data-drop]');
          for (const name of ['dragenter', 'dragover', 'drop'])
            zone.dispatchEvent(
              new DragEvent(name, { bubbles: true, cancelable: true, dataTransfer: data }));
        }"""
    )
    expect(page.locator(".drop-files")).to_contain_text("dropped.txt")


def test_a_long_document_opens_in_place(page, sign_in, ana, team, tmp_path) -> None:
    version = pending_version(ana, team, stored("poems.jsonl", poems()), name="poems")
    run_job(version.produced_by, tmp_path)
    sign_in(page, ana)
    page.open("/datasets/research/poems/versions/1/")
    address = page.page.url
    place = page.locator(".docs-text a").first.evaluate("(link) => link.parentElement.id")
    box = page.locator(f"#{place}")
    before = len(box.inner_text())
    box.locator("a").click()
    expect(box.locator("a")).to_have_count(0)
    assert len(box.inner_text()) > before
    assert page.page.url == address


@in_phone_dark
def test_every_page(
    new_page, sign_in, ana, team, tmp_path, violations, screenshot, phone, theme, language
) -> None:
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    version = pending_version(
        ana, team, stored("poems.jsonl", poems()), stored("more.jsonl", poems(90)), name="poems"
    )
    page.open("/datasets/research/poems/versions/1/")
    look(page, violations, screenshot, f"dataset-waiting-{theme}-{phone}")
    run_job(version.produced_by, tmp_path)
    ready_version(ana, team, tmp_path, name="wizards")
    broken = pending_version(
        ana, team, stored("bad.jsonl", b'{"text": "a"}\n{oops\n'), name="poems"
    )
    run_job(broken.produced_by, tmp_path)
    one = "/datasets/research/poems/"
    for name, path in {
        "list": "/datasets/",
        "new": "/datasets/new/",
        "one": one,
        "edit": one + "edit/",
        "upload": one + "upload/?from=2",
        "failed": one + "versions/2/",
        "preview": one + "versions/1/",
        "statistics": one + "versions/1/statistics/",
        "source": one + "versions/1/source/",
        "used": one + "versions/1/used/",
        "document": one + "versions/1/documents/train/0/",
    }.items():
        assert page.open(path).status == 200, path
        if name == "new":
            page.locator("details.options summary").click()
        look(page, violations, screenshot, f"dataset-{name}-{theme}-{phone}")


def look(page, violations, screenshot, name: str) -> None:
    assert overflow(page) == [], name
    assert violations(page) == [], name
    screenshot(page, name.replace("True", "phone").replace("False", "wide"))
