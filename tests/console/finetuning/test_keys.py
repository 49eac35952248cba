"""Who may see and change files and fine-tunings: keys, scopes, teams."""

import pytest

from tests.console.finetuning.conftest import Asking, error, lines
from tests.workers.lm.training.conversations import sums

pytestmark = pytest.mark.django_db


class TestKeys:
    ADDRESSES = ("files", "files/file-1", "files/file-1/content", "fine_tuning/jobs",
                 "fine_tuning/jobs/ftjob-1", "fine_tuning/jobs/ftjob-1/events",
                 "fine_tuning/jobs/ftjob-1/checkpoints")  # fmt: skip

    @pytest.mark.parametrize("path", ADDRESSES)
    def test_without_a_key_there_is_nothing_to_see(self, client, path, db):
        for headers in ({}, {"authorization": "Bearer slip_wrong"}):
            answer = client.get(f"/v1/{path}", headers=headers)
            assert error(answer, 401)["code"] == "invalid_api_key"

    def test_a_cookie_is_no_key(self, ana, client_for):
        assert client_for(ana).get("/v1/files").status_code == 401

    def test_outsiders_find_nothing(self, asking, started, imported, cai):
        other = Asking(cai)
        key = started["id"]

        assert other.get("files").json()["data"] == []
        assert other.get("fine_tuning/jobs").json()["data"] == []
        job = f"fine_tuning/jobs/{key}"
        files = (f"files/{imported}", f"files/{imported}/content")
        for path in (*files, job, f"{job}/events", f"{job}/checkpoints"):
            error(other.get(path), 404)
        for path in ("cancel", "pause", "resume"):
            error(other.post(f"fine_tuning/jobs/{key}/{path}"), 404)
        error(other.delete(f"files/{imported}"), 404)
        body = {"model": "research/talker", "training_file": imported}
        assert error(other.post("fine_tuning/jobs", body), 404)["code"] == "model_not_found"

    def test_readers_look_and_change_nothing(self, eve, started, imported):
        reading = Asking(eve)

        assert reading.get(f"fine_tuning/jobs/{started['id']}").status_code == 200
        assert error(reading.upload(lines(sums(3, 1))), 403)["type"] == "permission_error"
        error(reading.delete(f"files/{imported}"), 403)
        error(reading.post(f"fine_tuning/jobs/{started['id']}/cancel"), 403)

    def test_a_key_that_may_only_ask_models_sees_nothing_of_it(self, ana, started):
        asking = Asking(ana, "infer")

        error(asking.get("files"), 403)
        error(asking.get("fine_tuning/jobs"), 403)

    def test_other_methods_and_addresses_are_told(self, asking):
        assert error(asking.delete("files"), 405)["code"] == "method_not_allowed"
        assert error(asking.get("fine_tuning/models"), 404)["code"] == "unknown_url"
