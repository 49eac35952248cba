"""Batches as people use them: ask about the rows of a dataset, follow it, take the answers."""

import json

from playwright.sync_api import expect

from models_app.batches.models import Batch
from tests.browser.conftest import overflow
from tests.browser.looks import in_phone_dark
from tests.factories.batches import batch_of, request_line
from tests.factories.data import ready_version as ready_data
from tests.factories.deployments import ready_version
from tests.models_app.batches.conftest import answered


@in_phone_dark
def test_looks_right(
    new_page, sign_in, ana, team, tmp_path, violations, screenshot, theme, phone, language
) -> None:
    ready_version(team)
    done = answered(batch_of(ana, team, [request_line(n) for n in range(4)]), tmp_path, errors=1)
    failed = batch_of(ana, team, [b"{", request_line(1, stream=True)])
    batch_of(ana, team, [request_line(n) for n in range(9)])
    page = sign_in(new_page(phone=phone, theme=theme, language=language), ana)
    for name, path in {
        "list": "/batches/", "new": "/batches/new/", "done": f"/batches/{done.key}/",
        "failed": f"/batches/{failed.key}/",
    }.items():  # fmt: skip
        page.open(path)
        assert "\n".join([*overflow(page), *violations(page)]) == "", path
        screenshot(page, f"batches-{name}-{'phone' if phone else 'wide'}-{theme}")


def test_rows_are_asked_about_and_a_mistake_stands_beside_its_field(
    page, sign_in, ana, team, tmp_path
) -> None:
    ready_version(team)
    data = ready_data(ana, team, tmp_path)
    sign_in(page, ana).open("/batches/new/")
    page.locator("[name=dataset_version]").select_option(str(data.pk))
    page.locator("[name=model]").fill("research/none")
    page.expected = ["422"]
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_text("does not exist, has nothing to answer with")).to_be_visible()
    page.locator("[name=model]").fill("research/poet:v1")
    page.locator("[name=prompt]").fill("Sum up: {text}")
    page.get_by_role("button", name="Begin").click()

    expect(page.get_by_text("The batch is queued.")).to_be_visible()
    batch = Batch.objects.get()
    assert batch.template["messages"] == [{"role": "user", "content": "Sum up: {text}"}]
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Stop the batch").click()
    expect(page.get_by_text("Cancelled").first).to_be_visible()


def test_a_file_is_sent(page, sign_in, ana, team, tmp_path) -> None:
    ready_version(team)
    file = tmp_path / "asked.jsonl"
    file.write_text("\n".join(json.dumps(request_line(n)) for n in range(3)))
    sign_in(page, ana).open("/batches/new/?source=file")
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Begin").click()

    expect(page.get_by_text("The batch is queued.")).to_be_visible()
    assert Batch.objects.get().total == 3
