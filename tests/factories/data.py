"""Datasets and models with real files behind them, made through the services."""

import io
import random
from pathlib import Path
from typing import Any

from models_app.core.blobs import blob_put
from models_app.datasets.importing import ImportOptions
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.datasets.services import dataset_create, version_import_files
from tests.factories.corpora import lines_of, nearly, texts
from tests.fakes.jobs import run_job

WORDS = "the quick brown fox jumps over the lazy dog while seven wizards mix strange potions"


def sample_text(paragraphs: int = 60) -> bytes:
    """Paragraphs that differ from each other."""
    words = WORDS.split()
    return "\n\n".join(
        " ".join(words[(start * 7 + step * 3) % len(words)] for step in range(12))
        for start in range(paragraphs)
    ).encode()


def stored(name: str, data: bytes) -> dict[str, Any]:
    """An uploaded file, as the services take it."""
    sha256, size = blob_put(io.BytesIO(data))
    return {"name": name, "sha256": sha256, "size": size}


def pending_version(actor: Any, team: Any, *files: dict[str, Any], name: str = "texts",
                    **options: Any) -> DatasetVersion:  # fmt: skip
    """A version whose import has not run yet."""
    dataset = Dataset.objects.filter(team=team, name=name).first()
    dataset = dataset or dataset_create(actor=actor, team=team, name=name)
    return version_import_files(
        actor=actor, dataset=dataset, files=files, options=ImportOptions(**options)
    )


def doubled_version(actor: Any, team: Any, folder: Path) -> DatasetVersion:
    """A hundred documents, two of them doubled, two nearly, one with an address in it."""
    base = texts(100)
    documents = [*base, base[3], base[4].upper(), nearly(base[5]), nearly(base[6])]
    documents[7] += " write to bob@example.com"
    random.Random(2).shuffle(documents)
    data = "\n".join(lines_of(documents)).encode()
    version = pending_version(actor, team, stored("a.jsonl", data))
    return finished(version, folder)


def finished(version: DatasetVersion, folder: Path) -> DatasetVersion:
    """The version after its job has run."""
    assert version.produced_by is not None
    run_job(version.produced_by, folder)
    version.refresh_from_db()
    return version


def ready_version(actor: Any, team: Any, folder: Path, name: str = "texts") -> DatasetVersion:
    """An imported version of `sample_text`."""
    version = pending_version(actor, team, stored("a.txt", sample_text()), name=name)
    assert version.produced_by is not None
    run_job(version.produced_by, folder)
    version.refresh_from_db()
    assert version.state == "ready", version.error
    return version
