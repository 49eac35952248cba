"""A batch that is answered, without a model."""

import json

from models_app.batches.answers import merge
from models_app.batches.models import Batch
from models_app.batches.services.ending import batch_completed, stored
from models_app.core.clock import now
from models_app.jobs.models import Job


def answered(batch: Batch, folder, *, errors: int = 0) -> Batch:
    """As its job leaves it: the last `errors` requests could not be answered."""
    part = folder / "part.jsonl"
    good = {
        "choices": [{"message": {"role": "assistant", "content": "Aye aye, captain."}}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 5},
    }
    bad = {"error": {"message": "temperature must be a number.", "param": "temperature"}}
    rows = []
    for number in range(batch.total):
        failed = number >= batch.total - errors
        rows.append(
            {"n": number, "custom_id": f"q-{number}", "status": 400 if failed else 200,
             "body": bad if failed else good}
        )  # fmt: skip
    part.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = stored(merge([part], folder / "files"), folder / "files")
    batch_completed(batch_id=batch.pk, result=result)
    Job.objects.filter(pk=batch.job_id).update(
        state="succeeded", started_at=now(), finished_at=now(), step=batch.total
    )
    return Batch.objects.get(pk=batch.pk)
