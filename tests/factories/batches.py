"""Files of requests, and a tiny version that answers them."""

import json
from typing import Any

from models_app.batches.models import Batch
from models_app.batches.services import batch_start
from models_app.core.blobs import BlobWriter, tree_put
from models_app.core.digests import tree_digest
from models_app.finetuning.models import TuningFile
from models_app.finetuning.services import file_add
from tests.factories.deployments import ready_version

CHAT = "/v1/chat/completions"


def answering_version(team, folder, *, name: str = "poet"):
    """A ready version of a tiny model with random weights."""
    from tests.workers.lm.inference import tiny

    version = ready_version(team, name=name)
    version.manifest = tree_put(tiny.save(folder, "gpt2"))
    version.digest = tree_digest(version.manifest)
    version.save()
    return version


def request_line(number: int, *, model: str = "research/poet:v1", **body: Any) -> dict[str, Any]:
    """One line of a file of requests."""
    asked = {
        "model": model, "max_tokens": 4, "temperature": 0,
        "messages": [{"role": "user", "content": f"the quick {number}"}],
    }  # fmt: skip
    return {"custom_id": f"q-{number}", "method": "POST", "url": CHAT, "body": asked | body}


def requests_file(actor, team, rows: list[Any]) -> TuningFile:
    """The rows (objects, or bytes as they are) as an uploaded file."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    writer = BlobWriter()
    writer.write(b"".join(line + b"\n" for line in lines))
    sha256, size = writer.publish()
    entry = {"name": "asked.jsonl", "sha256": sha256, "size": size}
    return file_add(actor=actor, team=team, entry=entry, purpose="batch")


def batch_of(actor, team, rows: list[Any], endpoint: str = CHAT) -> Batch:
    """A batch of these rows."""
    return batch_start(actor=actor, input_file=requests_file(actor, team, rows), endpoint=endpoint)
