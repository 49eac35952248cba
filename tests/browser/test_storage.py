"""The page of the store: seen by admins, current while a run goes on, usable on a phone."""

import io

import pytest
from playwright.sync_api import expect

from models_app.core.blobs import blob_put
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.registry.models import Model, ModelVersion
from models_app.storage.inventory import inventory_refresh
from models_app.storage.runs import runs_advance
from tests.browser.conftest import overflow
from tests.browser.looks import in_wide_light


@pytest.fixture
def files(team, other_team, settings, tmp_path):
    """Datasets and models of two teams that share files, and some garbage."""
    settings.DATA_DIR = tmp_path

    def stored(size: int, mark: int) -> dict[str, object]:
        digest, size = blob_put(io.BytesIO(bytes([mark]) * size))
        return {"sha256": digest, "size": size}

    for number, (owner, name) in enumerate(
        [(team, "poems"), (team, "letters"), (other_team, "contracts"), (other_team, "rulings")]
    ):
        dataset = Dataset.objects.create(team=owner, name=name)
        model = Model.objects.create(team=owner, name=f"{name}-writer")
        for version in (1, 2, 3):
            shards = {"train/0": stored(900_000, number), "train/1": stored(200_000, 10 + version)}
            DatasetVersion.objects.create(
                dataset=dataset, number=version, state="ready", manifest=shards
            )
            weights = {"model": stored(700_000 * (number + 1), 40 + 4 * number + version)}
            ModelVersion.objects.create(
                model=model, number=version, state="ready", manifest=weights
            )
    lost = DatasetVersion.objects.create(
        dataset=dataset, number=9, manifest={"train/0": stored(1_500_000, 99)}
    )
    inventory_refresh()
    lost.delete()
    stored(300_000, 98)
    inventory_refresh()


@in_wide_light
def test_looks_right(
    new_page, sign_in, root, files, violations, screenshot, theme, phone, language
):
    page = sign_in(new_page(phone=phone, theme=theme, language=language), root)
    where = f"{theme}-{'phone' if phone else 'wide'}-{language}"
    for path, name in (("/storage/", "storage"), ("/storage/garbage/", "garbage")):
        page.open(path)
        assert [*overflow(page), *violations(page)] == []
        screenshot(page, f"{name}-{where}")


def test_follows_a_check(page, sign_in, root, files, screenshot):
    page = sign_in(page, root)
    page.open("/storage/")
    page.get_by_role("button", name="Check all").click()
    expect(page.get_by_role("button", name="Check all")).to_be_disabled()
    runs_advance()

    expect(page.get_by_text("100%").first).to_be_visible()
    expect(page.get_by_role("button", name="Check all")).to_be_enabled()
    screenshot(page, "storage-checked")
