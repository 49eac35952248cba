"""Files of conversations as programs send them, and for which team."""

import pytest

from models_app.finetuning.models import TuningFile
from tests.console.finetuning.conftest import Asking, error, lines
from tests.factories.access import MembershipFactory
from tests.factories.data import finished
from tests.workers.lm.training.conversations import sums, talk

pytestmark = pytest.mark.django_db


def said(role, content, **more):
    """A row of one message."""
    return {"messages": [{"role": role, "content": content, **more}]}


class TestFiles:
    def test_a_file_becomes_a_dataset(self, asking, uploaded, tmp_path):
        before = asking.get(f"files/{uploaded}").json()
        version = finished(TuningFile.objects.get(key=uploaded).version, tmp_path)
        after = asking.get(f"files/{uploaded}").json()

        assert (before["object"], before["status"]) == ("file", "uploaded")
        assert (before["filename"], before["purpose"]) == ("chats.jsonl", "fine-tune")
        assert after["status"] == "processed" and after["bytes"] == len(lines(sums(20, 1)))
        assert version.dataset.name == "finetune-chats"
        assert version.counts["train"]["documents"] > 10

    def test_its_bytes_come_back(self, asking, uploaded):
        answer = asking.get(f"files/{uploaded}/content")

        assert b"".join(answer.streaming_content) == lines(sums(20, 1))

    def test_a_deleted_one_is_gone_but_its_data_is_kept(self, asking, imported):
        said = asking.delete(f"files/{imported}").json()

        assert said == {"id": imported, "object": "file", "deleted": True}
        assert error(asking.get(f"files/{imported}"), 404)["code"] == "not_found"
        assert asking.get("files").json()["data"] == []
        assert TuningFile.objects.get().version.state == "ready"

    def test_lists_turn_pages(self, asking):
        names = [asking.upload(lines(sums(3, n)), f"f{n}.jsonl").json()["id"] for n in range(3)]

        first = asking.get("files", limit=2).json()
        second = asking.get("files", limit=2, after=first["last_id"]).json()
        ascending = asking.get("files", order="asc").json()

        assert [row["id"] for row in first["data"]] == names[:0:-1] and first["has_more"]
        assert [row["id"] for row in second["data"]] == names[:1] and not second["has_more"]
        assert [row["id"] for row in ascending["data"]] == names
        assert asking.get("files", purpose="batch").json()["data"] == []

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"no json\n{}\n", "Line 1: It is not valid JSON. Line 2: It has no list 'messages'."),
            (lines([said("bot", "Hi")]), "The role 'bot' is unknown"),
            (lines([talk("Hi", "Ho"), {"messages": talk("a", "b")["messages"][:1]}]),
             "Line 2: Its last message must be from the assistant."),
            (lines([said("assistant", None)]), "no text as 'content'"),
            (lines([said("assistant", "x", weight=0)]), "'weight'"),
            (lines([talk("Only", "one")]), "At least 2 examples"),
            (b"", "At least 2 examples"),
        ],
    )  # fmt: skip
    def test_what_is_no_conversation_is_refused_by_its_line(self, asking, data, words):
        found = error(asking.upload(data))

        assert words in found["message"]
        assert found["param"] == "file" and found["type"] == "invalid_request_error"
        assert not TuningFile.objects.exists()

    @pytest.mark.parametrize(
        ("name", "purpose", "param"),
        [("a.txt", "fine-tune", "file"), ("a.pdf", "fine-tune", "file"), ("a.jsonl", "", "purpose"),
         ("a.jsonl", "batch_output", "purpose")],
    )  # fmt: skip
    def test_other_names_and_purposes_are_refused(self, asking, name, purpose, param):
        assert error(asking.upload(lines(sums(3, 1)), name, purpose))["param"] == param

    def test_without_a_file_it_says_how_to_send_one(self, asking):
        assert error(asking.post("files", {"purpose": "fine-tune"}))["param"] == "file"


class TestTeams:
    def test_of_several_teams_one_must_be_named(self, ana, other_team):
        MembershipFactory(user=ana, team=other_team, role="developer")
        asking = Asking(ana)

        found = error(asking.upload(lines(sums(3, 1))))
        named = asking.upload(lines(sums(3, 1)), openai_project="legal")

        assert found["param"] == "project" and "legal, research" in found["message"]
        assert named.status_code == 200
        assert TuningFile.objects.get().team == other_team

    def test_a_key_of_one_team_needs_no_name(self, ana, other_team):
        MembershipFactory(user=ana, team=other_team, role="developer")
        asking = Asking(ana, team=other_team)

        assert asking.upload(lines(sums(3, 1))).status_code == 200
        assert TuningFile.objects.get().team == other_team

    def test_a_foreign_team_is_like_a_missing_one(self, asking, other_team):
        for name in ("legal", "nowhere"):
            found = error(asking.upload(lines(sums(3, 1)), openai_project=name))
            assert found["param"] == "project"
