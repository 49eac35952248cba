"""Preparations: a new version out of a stored one, whole or not at all."""

import pytest

from models_app.core.blobs import blob_path
from models_app.core.errors import FieldError, InvalidInput, PermissionDenied
from models_app.curation.services import dataset_prepare
from models_app.datasets.models import DatasetVersion
from models_app.jobs.claims import job_claim
from models_app.jobs.recovery import recover_expired
from models_app.jobs.services import job_cancel
from tests.factories.corpora import lines_of, texts
from tests.factories.data import doubled_version, finished, pending_version, stored
from tests.factories.jobs import expire, placed

pytestmark = pytest.mark.django_db


@pytest.fixture
def parent(ben, team, tmp_path):
    return doubled_version(ben, team, tmp_path)


class TestPreparation:
    def test_makes_a_version_that_names_parent_configuration_and_steps(self, ben, parent, tmp_path):
        spec = {"personal_data": "redact", "validation_fraction": 0.2}
        version = finished(dataset_prepare(actor=ben, parent=parent, spec=spec), tmp_path)

        assert version.state == "ready", version.error
        assert (version.parent, version.number) == (parent, parent.number + 1)
        assert version.config_revision.spec["personal_data"] == "redact"
        dropped = version.source["steps"]["dropped"]
        assert (dropped["exact"], dropped["near"]) == (2, 2)
        assert version.source["steps"]["redacted"] == 1
        assert version.counts["total"]["documents"] == 100
        assert version.counts["validation"]["documents"] > 5

    def test_gives_the_same_digest_again_and_another_one_with_another_seed(
        self, ben, parent, tmp_path
    ):
        one, two, other = (
            finished(dataset_prepare(actor=ben, parent=parent, spec={"seed": seed}), tmp_path)
            for seed in (1, 1, 2)
        )
        assert one.digest == two.digest != other.digest
        assert one.config_revision == two.config_revision != other.config_revision

    def test_fails_with_the_step_that_left_nothing(self, ben, parent, tmp_path):
        version = dataset_prepare(actor=ben, parent=parent, spec={"min_characters": 10_000})
        finished(version, tmp_path)

        assert version.state == "failed"
        assert "'length'" in version.error
        assert version.manifest == {}

    def test_stores_tokens_of_a_tokenizer_that_is_learned(self, ben, parent, tmp_path):
        spec = {"tokenizer": "char", "vocab_size": 50}
        version = finished(dataset_prepare(actor=ben, parent=parent, spec=spec), tmp_path)

        assert version.state == "ready", version.error
        assert "tokens/train/00000/tokens.bin" in version.manifest
        assert "tokenizer/tokenizer.json" in version.manifest
        # A token for each character, and one for the end of each document.
        counts = version.counts["train"]
        tokens = version.source["tokens"]["train"]
        assert tokens == counts["characters"] + counts["documents"]

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ({"min_characters": 5, "max_characters": 4}, "config.max_characters"),
            ({"tokenizer": "version"}, "config.tokenizer_version"),
            ({"tokenizer": "version", "tokenizer_version": 999}, "config.tokenizer_version"),
            ({"languages": ["English"]}, "config.languages"),
            ({"near_width": 7}, "config.near_width"),
            ({"unknown": 1}, "config.unknown"),
        ],
    )
    def test_refuses_what_cannot_work_before_anything_is_stored(self, ben, parent, spec, field):
        with pytest.raises(InvalidInput) as refusal:
            dataset_prepare(actor=ben, parent=parent, spec=spec)

        assert field in refusal.value.errors
        assert DatasetVersion.objects.count() == 1

    def test_is_made_once_for_a_repeated_key(self, ben, parent):
        once, again = (
            dataset_prepare(actor=ben, parent=parent, spec={}, idempotency_key="k")
            for _ in range(2)
        )
        assert once == again

    def test_needs_a_parent_that_is_ready(self, ben, parent):
        pending = dataset_prepare(actor=ben, parent=parent, spec={})
        with pytest.raises(FieldError):
            dataset_prepare(actor=ben, parent=pending, spec={})

    def test_is_for_those_who_may_change_the_dataset(self, eve, parent):
        with pytest.raises(PermissionDenied):
            dataset_prepare(actor=eve, parent=parent, spec={})

    def test_is_refused_where_a_stored_file_is_damaged(self, ben, team, tmp_path):
        data = "\n".join(lines_of(texts(20, seed=99))).encode()
        parent = pending_version(ben, team, stored("own.jsonl", data), name="damaged")
        finished(parent, tmp_path)
        path = blob_path(parent.manifest["train/00000.jsonl"]["sha256"])
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))

        version = finished(dataset_prepare(actor=ben, parent=parent, spec={}), tmp_path)

        assert version.state == "failed"
        assert version.produced_by.reason_code == "integrity"
        assert "digest differs" in version.error
        assert version.manifest == {}


class TestEnds:
    def test_a_cancelled_one_leaves_nothing_visible(self, ben, parent):
        version = dataset_prepare(actor=ben, parent=parent, spec={})
        job_cancel(actor=ben, job=version.produced_by)
        version.refresh_from_db()
        assert (version.state, version.manifest) == ("failed", {})

    def test_a_lost_attempt_is_followed_by_one_with_the_same_digest(self, ben, parent, tmp_path):
        undisturbed = finished(dataset_prepare(actor=ben, parent=parent, spec={}), tmp_path)
        version = dataset_prepare(actor=ben, parent=parent, spec={})
        expire(job_claim(worker="w", node="w", job_id=placed(version.produced_by, "w").pk))
        assert recover_expired() == 1
        version.refresh_from_db()
        assert version.state == "pending"

        assert finished(version, tmp_path).digest == undisturbed.digest
