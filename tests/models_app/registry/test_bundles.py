"""A version as one file: the same bytes for the same version, any part of them, and no secrets."""

import tarfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from models_app.audit.models import AuditEvent
from models_app.core.blobs import blob_path
from models_app.registry.bundles.manifest import NAME, manifest_read
from models_app.registry.models import ModelVersion
from models_app.registry.services import card_write, model_create, version_quarantine
from tests.factories.bundles import entries_of, manifest_in, without_origin
from tests.fakes.jobs import run_job
from tests.matrix import assert_hidden, assert_needs_sign_in
from tests.workers.importing.test_bundles import disk, imported, inbox, poet

__all__ = ["disk", "imported", "inbox", "poet"]
# Fixtures are imported and then named as arguments.

pytestmark = pytest.mark.django_db


def address(version):
    return f"/api/v1/model-versions/{version.pk}/bundle"


@pytest.fixture
def url(poet):
    return address(poet)


def body(answer, status=200):
    assert answer.status_code == status, answer.content
    return b"".join(answer.streaming_content)


class TestDownload:
    def test_holds_what_is_known_and_nothing_of_people_machines_and_rows(
        self, ana, version, evaluated, api_for, settings
    ):
        card_write(actor=ana, model=version.model, body="Verse.", tags=["poems"])
        figures = evaluated(version).metrics

        data = body(api_for(ana).get(address(version)))

        entries = entries_of(data)
        names = [name for name, _body in entries]
        assert names == [NAME, *(f"files/{path}" for path in sorted(version.manifest))]
        manifest = manifest_in(data)
        assert manifest_read(entries[0][1]).version.digest == version.digest
        record = manifest["record"]
        assert record["config"]["spec"] == version.config_revision.spec
        assert record["dataset"]["digest"] == version.dataset_version.digest
        assert record["environment"] == version.environment and record["environment"]
        assert {"dataset", "config", "environment", "code", "log"} <= {
            item["name"] for item in record["items"]
        }
        assert [row["metrics"] for row in manifest["evaluations"]] == [figures]
        assert manifest["card"]["body"] == "Verse." and manifest["base"] is None
        nodes = {row.node_name for row in version.produced_by.attempts.all()} - {"test"}
        for word in (ana.email, str(settings.DATA_DIR), str(settings.IMPORT_DIR), *nodes):
            assert word not in entries[0][1].decode(), word
        assert "params" not in {item["name"] for item in record["items"]}
        assert not _keys(manifest) & {"id", "url", "href", "job", "node", "by", "email"}

    def test_is_the_same_to_the_byte_each_time(self, ben, poet, url, api_for, tmp_path):
        api = api_for(ben)

        first, second = body(api.get(url)), body(api.get(url))

        assert first == second
        (tmp_path / "a.tar").write_bytes(first)
        with tarfile.open(tmp_path / "a.tar") as archive:
            kept = {(i.mtime, i.uid, i.gid, i.uname, i.mode) for i in archive}
        assert kept == {(0, 0, 0, "", 0o644)}

    def test_any_part_can_be_had(self, ben, poet, url, api_for):
        api = api_for(ben)
        whole = api.get(url)
        data, size = body(whole), int(whole["Content-Length"])
        assert len(data) == size and whole["Accept-Ranges"] == "bytes"
        assert whole["Content-Disposition"] == 'attachment; filename="poet-v1.slipway.tar"'

        for begin, end in ((0, 1), (100, 513), (511, 2000), (5000, size), (size - 1, size)):
            part = api.get(url, headers={"Range": f"bytes={begin}-{end - 1}"})
            assert body(part, 206) == data[begin:end]
            assert part["Content-Range"] == f"bytes {begin}-{end - 1}/{size}"
        stale = api.get(url, headers={"Range": "bytes=9-", "If-Range": '"other"'})
        assert body(stale) == data
        assert api.get(url, headers={"Range": f"bytes={size}-"}).status_code == 416
        head = api.head(url)
        assert (head["Content-Length"], head["ETag"]) == (str(size), whole["ETag"])

    def test_is_recorded_once_a_download(self, ben, poet, url, api_for):
        api = api_for(ben)
        body(api.get(url))
        body(api.get(url, headers={"Range": "bytes=700-"}), 206)
        api.head(url)

        event = AuditEvent.objects.get(action="model_version.exported")
        assert event.actor_id == ben.pk and event.changes["digest"] == poet.digest


class TestMoving:
    def test_a_trained_version_arrives_with_record_and_figures(
        self, ana, cai, other_team, version, evaluated, api_for, tmp_path
    ):
        evaluated(version)
        api = api_for(cai)
        model_create(actor=cai, team=other_team, name="other")
        data = body(api_for(ana).get(address(version)))
        file = SimpleUploadedFile("poet-v1.slipway.tar", data)

        given = {"team": "legal", "model": "other", "file": file}
        made = api.post("/api/v1/imports", given, format="multipart").json()
        run_job(ModelVersion.objects.get(pk=made["id"]).produced_by, tmp_path)

        here = api.get(made["url"]).json()
        assert (here["state"], here["digest"]) == ("ready", version.digest)
        assert here["manifest"] == version.manifest
        first = manifest_in(data)
        origin = api.get(made["provenance_url"]).json()["origin"]
        assert origin["record"] == first["record"]
        assert origin["evaluations"] == first["evaluations"] != []
        again = body(api.get(f"/api/v1/model-versions/{made['id']}/bundle"))
        assert without_origin(manifest_in(again)) == without_origin(first)
        assert entries_of(again)[1:] == entries_of(data)[1:]


class TestRights:
    def test_outsiders_learn_nothing(self, cai, eve, poet, url, client_for, api_for):
        page = "/models/research/poet/versions/1/bundle/"
        assert_hidden(api_for(cai), [url])
        assert_hidden(client_for(cai), [page])
        assert_needs_sign_in([url, page])
        assert len(body(client_for(eve).get(page))) == len(body(api_for(eve).get(url)))

    def test_what_could_not_be_imported_is_not_exported(self, ana, poet, url, api_for):
        api = api_for(ana)
        assert api.get(url, {"with_base": "x"}).json()["errors"]["with_base"]
        ModelVersion.objects.update(format="gguf")
        assert "converted" in api.get(url).json()["detail"]
        ModelVersion.objects.update(format="safetensors")
        version_quarantine(actor=ana, version=poet, reason="leaks")

        answer = api.get(url)

        assert answer.status_code == 409 and answer.json()["code"] == "wrong_state"

    def test_a_file_that_is_gone_is_said_before_anything_is_sent(
        self, ana, poet, url, api_for, settings, tmp_path
    ):
        settings.DATA_DIR = tmp_path / "elsewhere"
        assert not blob_path(poet.manifest["config.json"]["sha256"]).exists()

        answer = api_for(ana).get(url)

        assert not answer.streaming and answer.status_code >= 400


def _keys(value):
    if isinstance(value, dict):
        return set(value) | {key for found in value.values() for key in _keys(found)}
    return {key for found in value for key in _keys(found)} if isinstance(value, list) else set()
