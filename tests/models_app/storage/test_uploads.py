"""Uploads in pieces: what has come stays, the next piece begins there, the end is compared."""

import datetime as dt
import hashlib
import io
import uuid

import pytest

from models_app.audit.models import AuditEvent
from models_app.core import blobs
from models_app.core.clock import now
from models_app.core.storage import partials
from models_app.core.storage.partials import Partial, uploads_root
from models_app.storage.models import Upload
from models_app.storage.uploads import uploads_expire
from tests.matrix import assert_needs_sign_in

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("store"),
    pytest.mark.parametrize("store", ["disk"], indirect=True),
]
LINES = b"".join(b"line %d\n" % n for n in range(20_000))
PIECE = 64_000


class Sender:
    """Sends a file as a script would."""

    def __init__(self, client, data=LINES, **fields):
        self.client, self.data = client, data
        body = {"team": "research", "name": "poems.txt", "size": len(data), **fields}
        self.answer = client.post("/api/v1/uploads", body)
        self.url = self.answer.json().get("url", "")

    def piece(self, offset, data=None):
        data = self.data[offset : offset + PIECE] if data is None else data
        return self.client.patch(
            self.url, data, content_type="application/offset+octet-stream",
            headers={"Upload-Offset": str(offset)},
        )  # fmt: skip

    def rest(self):
        while (at := self.client.get(self.url).json()["offset"]) < len(self.data):
            assert self.piece(at).status_code == 200
        return self.client.post(f"{self.url}/finish")


class TestUpload:
    def test_comes_in_pieces_and_becomes_a_dataset(self, api_for, ana, team):
        from models_app.datasets.services import dataset_create

        dataset = dataset_create(actor=ana, team=team, name="poems")
        sender = Sender(api_for(ana), sha256=hashlib.sha256(LINES).hexdigest())
        assert sender.answer.status_code == 201
        done = sender.rest().json()
        assert (done["state"], done["offset"]) == ("done", len(LINES))
        assert blobs.blob_open(done["sha256"]).read() == LINES
        assert not list(uploads_root().glob("*"))

        answer = sender.client.post(
            f"/api/v1/datasets/{dataset.pk}/versions",
            {"uploads": [done["key"]], "document": "line"},
        )

        assert answer.status_code == 202
        version = dataset.versions.get()
        assert version.source["files"] == [
            {"name": "poems.txt", "sha256": done["sha256"], "size": len(LINES)}
        ]
        assert AuditEvent.objects.filter(action="upload.finished").count() == 1

    def test_goes_on_where_it_broke_off(self, api_for, ana):
        sender = Sender(api_for(ana))
        assert sender.piece(0)["Upload-Offset"] == str(PIECE)

        again = sender.piece(0)  # the answer was lost, and the client repeats itself
        assert (again.status_code, again.json()["offset"]) == (409, PIECE)
        assert sender.rest().status_code == 200

    def test_keeps_what_came_of_a_piece(self):
        class Broken(io.BytesIO):
            def read(self, *args):
                if self.tell() >= 100:
                    raise ConnectionError
                return super().read(100)

        with pytest.raises(ConnectionError), Partial("x").appending(0, 1000) as piece:
            stream = Broken(b"y" * 200)
            while data := stream.read():
                piece.write(data)

        assert Partial("x").offset == 100

    def test_has_one_writer_at_a_time(self):
        with Partial("x").appending(0, 1000) as piece:
            piece.write(b"y")
            with pytest.raises(partials.WrongOffset), Partial("x").appending(0, 1000):
                pass

    def test_refuses_another_file_than_was_announced(self, api_for, ana):
        sender = Sender(api_for(ana), sha256="0" * 64)
        answer = sender.rest()

        assert (answer.status_code, answer.json()["code"]) == (422, "digest_mismatch")
        assert sender.client.get(sender.url).json()["offset"] == 0
        assert not list(uploads_root().glob("*"))

    def test_takes_no_more_than_was_announced(self, api_for, ana):
        sender = Sender(api_for(ana), size=10)

        assert sender.piece(0, b"x" * 11).status_code == 409
        assert sender.client.get(sender.url).json()["offset"] == 0

    def test_is_not_finished_before_its_end(self, api_for, ana):
        sender = Sender(api_for(ana))
        sender.piece(0)
        answer = sender.client.post(f"{sender.url}/finish")

        assert (answer.status_code, answer.json()["offset"]) == (409, PIECE)

    def test_survives_the_end_of_a_process_that_had_stored_it(self, api_for, ana):
        """The file is in the store, the row does not know."""
        sender = Sender(api_for(ana), sha256=hashlib.sha256(LINES).hexdigest())
        blobs.blob_put(io.BytesIO(LINES))

        assert sender.client.post(f"{sender.url}/finish").json()["state"] == "done"

    def test_says_when_the_disk_is_full(self, api_for, ana, monkeypatch):
        def full(self, data):
            raise OSError(28, "No space left on device")

        sender = Sender(api_for(ana))
        monkeypatch.setattr(partials.Piece, "_put", full)
        answer = sender.piece(0)

        assert (answer.status_code, answer.json()["code"]) == (507, "store_full")
        assert sender.client.get(sender.url).json()["offset"] == 0

    @pytest.mark.parametrize(
        ("field", "value"),
        [("size", 0), ("size", -1), ("size", 10**15), ("sha256", "abc"), ("name", ""),
         ("name", "a\nb"), ("sha256", "A" * 64)],
    )  # fmt: skip
    def test_is_refused_by_field(self, api_for, ana, field, value):
        answer = Sender(api_for(ana), **{field: value}).answer

        assert answer.status_code == 422
        assert list(answer.json()["errors"]) == [field]

    @pytest.mark.parametrize("offset", ["", "-1", "x", "9" * 30, "٣"])
    def test_wants_an_offset(self, api_for, ana, offset):
        sender = Sender(api_for(ana))
        answer = sender.client.patch(
            sender.url, b"x", content_type="application/offset+octet-stream",
            **({"HTTP_UPLOAD_OFFSET": offset} if offset else {}),
        )  # fmt: skip
        assert "Upload-Offset" in answer.json()["errors"]

    def test_is_dropped_when_it_is_not_wanted(
        self, api_for, ana, django_capture_on_commit_callbacks
    ):
        sender = Sender(api_for(ana))
        sender.piece(0)
        with django_capture_on_commit_callbacks(execute=True):
            assert sender.client.delete(sender.url).status_code == 204

        assert sender.piece(PIECE).status_code == 409
        assert not list(uploads_root().glob("*"))


class TestAccess:
    def test_is_for_those_who_build(self, api_for, ana, eve, cai):
        sender = Sender(api_for(ana))

        assert Sender(api_for(eve)).answer.status_code == 403
        assert Sender(api_for(cai)).answer.status_code == 422  # there is no such team for Cai
        for ask in (api_for(cai).get, api_for(cai).delete):
            assert ask(sender.url).status_code == 404
        assert api_for(cai).post(f"{sender.url}/finish").status_code == 404

    def test_wants_somebody_who_is_signed_in(self, api_for, ana):
        sender = Sender(api_for(ana))

        assert_needs_sign_in(["/api/v1/uploads", sender.url])

    def test_another_teams_upload_makes_no_dataset(self, api_for, ana, cai, team, other_team):
        from models_app.datasets.services import dataset_create

        done = Sender(api_for(ana)).rest().json()
        dataset = dataset_create(actor=cai, team=other_team, name="mine")
        for key in (done["key"], str(uuid.uuid4())):
            answer = api_for(cai).post(
                f"/api/v1/datasets/{dataset.pk}/versions", {"uploads": [key]}
            )
            assert (answer.status_code, list(answer.json()["errors"])) == (422, ["uploads"])


def test_what_nobody_goes_on_with_is_dropped(api_for, ana):
    old, young = Sender(api_for(ana)), Sender(api_for(ana))
    old.piece(0)
    young.piece(0)
    key = old.answer.json()["key"]
    Upload.objects.filter(key=key).update(touched_at=now() - dt.timedelta(days=2))
    assert uploads_expire() == 1

    assert old.piece(PIECE).status_code in (404, 409)
    assert len(list(uploads_root().iterdir())) == 1
    assert young.rest().status_code == 200
