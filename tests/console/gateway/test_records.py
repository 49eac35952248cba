"""Records: complete, even when the database or what they refer to is away for a while."""

import asyncio

import pytest
from django.db import OperationalError

from console.gateway import records
from console.gateway.records import Record, Recorder
from models_app.deployments.models import RequestRecord
from tests.fakes.gateway import serve


def record(number: int, **changes) -> Record:
    return Record(f"req-{number}", user_id=None, token_prefix="slip_x", endpoint="x", **changes)


@pytest.fixture
def recorder(transactional_db):
    return Recorder()


async def written(recorder: Recorder) -> None:
    recorder.start()
    await recorder.stop()


class TestRecorder:
    def test_writes_every_column(self, recorder, team):
        deployment = serve(team, "chat")
        recorder.add(
            record(1, deployment_id=deployment.pk, stream=True, status=200, first_token_ms=1.5)
        )

        asyncio.run(written(recorder))

        row = RequestRecord.objects.get()
        assert (row.request_id, row.deployment, row.stream) == ("req-1", deployment, True)
        assert (row.status, row.first_token_ms, row.user) == (200, 1.5, None)

    def test_keeps_rows_whose_deployment_is_gone(self, recorder, team):
        deployment = serve(team, "chat")
        recorder.add(record(1, deployment_id=deployment.pk, status=200))
        recorder.add(record(2, deployment_id=10**9, revision_id=10**9, replica_id=10**9))

        asyncio.run(written(recorder))

        found = dict(RequestRecord.objects.values_list("request_id", "deployment_id"))
        assert found == {"req-1": deployment.pk, "req-2": None}

    def test_keeps_rows_in_order_while_the_database_is_away(self, recorder, monkeypatch):
        real, tries = records._store, []

        def store(batch):
            tries.append(len(batch))
            if len(tries) < 2:
                raise OperationalError("away")
            real(batch)

        monkeypatch.setattr(records, "_store", store)
        monkeypatch.setattr(records, "BATCH", 3)
        for number in range(5):
            recorder.add(record(number))

        async def twice():
            assert await recorder._flush() is False
            assert await recorder._flush() is True

        asyncio.run(twice())

        rows = RequestRecord.objects.order_by("id").values_list("request_id", flat=True)
        assert list(rows) == [f"req-{number}" for number in range(5)]
        assert tries == [3, 3, 2]

    def test_counts_what_it_must_drop(self, recorder, monkeypatch):
        monkeypatch.setattr(records, "BOUND", 2)

        for number in range(5):
            recorder.add(record(number))

        assert recorder.dropped == 3
