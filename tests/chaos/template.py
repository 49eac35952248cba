"""A prepared installation that every seed starts from a copy of."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.chaos.invariants.versions import WEIGHTS
from tests.chaos.load import MODEL, TRAINING
from tests.chaos.site import ChaosSite, chaos_site, copy_owners
from tests.flows.site import TEAM, until

REPLICAS = 2


@dataclass(frozen=True, kw_only=True)
class Template:
    """Its folder, a token, the data to train on, the model that is served, undisturbed weights."""

    folder: Path
    token: str
    dataset: int
    model: str
    reference: str


@contextlib.contextmanager
def prepared(kept: Path | None = None) -> Iterator[Template]:
    """A template for as long as the block lasts; with `kept` it stays, and is used if it is there.

    A kept one belongs to the code that made it: migrations and formats may have changed since.
    """
    folder = kept or Path(tempfile.mkdtemp(prefix="slipway-chaos-template-"))
    note = folder / "template.json"
    try:
        if not note.exists():
            made = _prepare(folder)
            note.write_text(json.dumps(asdict(made), default=str))
            note.chmod(0o600)
        facts = json.loads(note.read_text())
        yield Template(**{**facts, "folder": folder})
    finally:
        if kept is None:
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(folder: Path) -> Template:
    """Train once in peace, deploy what came of it, stop, and keep the folder."""
    with chaos_site() as site:
        site.stack.wait_ready()
        dataset = site.dataset()["id"]
        version = trained(site, dataset, TRAINING)
        model = deployed(site, version)
        site.close()
        shutil.copytree(site.stack.data_dir, folder, dirs_exist_ok=True, symlinks=True)
        copy_owners(site.stack.data_dir, folder)
    return Template(
        folder=folder, token=site.token, dataset=dataset, model=model,
        reference=version["manifest"][WEIGHTS]["sha256"],
    )  # fmt: skip


def trained(site: ChaosSite, dataset: int, config: dict[str, Any]) -> dict[str, Any]:
    """The version that a training makes when nothing happens."""
    if not site.api.find("models", team=TEAM):
        site.api.post("models", {"team": TEAM, "name": MODEL})
    body = {"team": TEAM, "model": MODEL, "dataset_version": dataset, "config": config}
    run = site.api.post("training-runs", body)
    site.ended(run["job"])
    return dict(site.api.get(run["url"]))


def deployed(site: ChaosSite, version: dict[str, Any]) -> str:
    """The name under which the version answers, with all of its replicas."""
    row = site.api.post("deployments", {"team": TEAM, "name": MODEL, "environment": "development"})
    spec = {"replicas": REPLICAS, "threads": 1, "max_slots": 8}
    body = {"model_version": version["id"], "spec": spec, "reason": "chaos"}
    number = site.api.post(f"deployments/{row['id']}/revisions", body)["number"]

    def active() -> bool:
        revision = site.api.get(f"deployments/{row['id']}/revisions/{number}")
        return bool(revision["state"] == "active")

    until(active, "the version is served")
    return str(row["model"])


def served(site: ChaosSite, count: int = REPLICAS) -> None:
    """Wait until so many replicas are ready."""
    query = "SELECT count(*) AS n FROM deployments_replica WHERE state = 'ready'"

    def ready() -> bool:
        row = site.truth.one(query)
        return row is not None and row["n"] >= count

    until(ready, f"{count} replicas are ready")
