"""The import of a model version: every source, what comes out, and what leaves nothing behind."""

import io
import json
import os
import pickle
import tarfile
import zipfile
from datetime import timedelta

import pytest
import zstandard

from models_app.audit.models import AuditEvent
from models_app.core.blobs import blob_root
from models_app.core.errors import FieldError, InvalidInput
from models_app.jobs.models import Job
from models_app.registry.importing import HubSource, PathSource, UploadSource
from models_app.registry.models import ImportToken, ModelVersion
from models_app.registry.scan_rules import RULESET
from models_app.registry.services import (
    evaluation_start,
    model_create,
    version_import,
    version_quarantine,
)
from models_app.storage.collecting import blobs_collect
from tests.factories.data import ready_version as ready_data
from tests.factories.data import stored
from tests.factories.imports import adapter_folder, change_json, model_folder
from tests.fakes.hub import COMMIT, FakeHub
from tests.fakes.jobs import run_job

pytestmark = pytest.mark.django_db
SECRET = "hf_SecretSecretSecret12345"


@pytest.fixture(autouse=True)
def disk(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()


@pytest.fixture
def inbox(settings, tmp_path):
    """The import directory."""
    settings.IMPORT_DIR = tmp_path / "inbox"
    settings.IMPORT_DIR.mkdir()
    return settings.IMPORT_DIR


@pytest.fixture
def model(ana, team):
    return model_create(actor=ana, team=team, name="poet")


@pytest.fixture
def imported(ana, model, tmp_path):
    """`imported(source)`: the version after its job has ended."""

    def run(source, **options):
        version = version_import(actor=ana, source=source, **{"model": model, **options})
        run_job(version.produced_by, tmp_path / "jobs")
        version.refresh_from_db()
        return version

    return run


@pytest.fixture
def hub(settings, tmp_path):
    """A hub with a tiny model that may be imported from."""
    hub = FakeHub.of(model_folder(tmp_path / "served"))
    settings.IMPORT_HUBS = (hub.url,)
    yield hub
    hub.close()


def hub_source(hub, **options):
    return HubSource(**{"url": hub.url, "repo": "team/model", **options})


def refused(version, rule, word=""):
    """It failed, its scan says why, and it holds nothing."""
    assert version.state == "failed"
    assert word in version.error, version.error
    assert (version.manifest, version.digest) == ({}, "")
    if rule:
        rules = {f["rule"] for f in version.scans.get().report["findings"]}
        assert rule in rules, version.scans.get().report


def blobs():
    return {path.name: path.stat().st_size for path in blob_root().glob("??/??/*")}


class TestFolder:
    def test_becomes_a_version_with_facts_digests_and_a_scan(self, imported, inbox):
        folder = model_folder(inbox / "llama")

        version = imported(PathSource(path="llama"))

        assert version.state == "ready", version.error
        assert version.facts["model_type"] == "llama"
        assert {version.facts[k] for k in ("layers", "width", "heads", "context")} == {2, 32, 4, 64}
        assert version.facts["tokenizer"] == "bpe" and version.facts["chat"] is False
        assert version.manifest.keys() == {path.name for path in folder.iterdir()}
        assert version.source["files"].keys() == version.manifest.keys()
        scan = version.scans.get()
        assert (scan.verdict, scan.ruleset) == ("passed", RULESET)
        assert scan.report["files"]["model.safetensors"] == "weights"

    def test_can_be_evaluated_with_the_loss_of_transformers(
        self, imported, inbox, ana, team, tmp_path
    ):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = model_folder(inbox / "llama", tied=False, seed=3)
        version, data = imported(PathSource(path="llama")), ready_data(ana, team, tmp_path)

        job = evaluation_start(actor=ana, version=version, dataset_version=data, max_documents=1)
        assert run_job(job, tmp_path).state == "succeeded"

        from models_app.datasets.selectors import version_rows

        text = version_rows(version=data, split="validation", offset=0, limit=1)[0]["text"]
        tokenizer = AutoTokenizer.from_pretrained(folder)
        ids = [tokenizer.eos_token_id, *tokenizer(text).input_ids]
        with torch.no_grad():
            logits = AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([ids])).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]))
        metrics = version.evaluations.get().metrics
        assert metrics["tokens"] == len(ids) - 1
        assert metrics["nats_per_token"] == pytest.approx(loss.item(), abs=1e-4)

    @pytest.mark.parametrize("to", ["/etc/passwd", "config.json", "missing"])
    def test_links_are_refused_by_name(self, imported, inbox, to):
        (model_folder(inbox / "llama") / "README.md").symlink_to(to)

        version = imported(PathSource(path="llama"))

        refused(version, "files.link", "README.md")

    def test_pipes_do_not_hang_it(self, imported, inbox):
        os.mkfifo(model_folder(inbox / "llama") / "README.md")

        refused(imported(PathSource(path="llama")), "files.special", "pipe")

    def test_a_pickle_is_named_with_its_opcode_and_can_be_left_out(self, imported, inbox):
        folder = model_folder(inbox / "llama")
        (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'ls'\ntR.")

        refused(imported(PathSource(path="llama")), "code.pickle", "GLOBAL os system")
        version = imported(PathSource(path="llama", leave_out=["*.bin"]))

        assert version.state == "ready" and "pytorch_model.bin" not in version.manifest
        assert version.scans.get().report["findings"][0]["rule"] == "files.left_out"

    @pytest.mark.parametrize(
        "path", ["", "..", "/etc", "nowhere", "llama/config.json", "a\0b", "../" * 20 + "etc"]
    )
    def test_only_folders_of_the_import_directory_are_read(self, ana, model, inbox, path):
        model_folder(inbox / "llama")

        with pytest.raises(FieldError) as told:
            version_import(actor=ana, model=model, source=PathSource(path=path))

        assert told.value.field == "path" and not ModelVersion.objects.exists()

    def test_what_fails_leaves_no_file_behind(self, imported, inbox, tmp_path):
        change_json(model_folder(inbox / "llama") / "config.json", auto_map={"AutoModel": "a.B"})

        refused(imported(PathSource(path="llama")), "code.remote", "auto_map")

        assert not blobs()


def hub_cache(folder, model, *, commit="a" * 40):
    """The files of a model folder as the Hub's client keeps them."""
    cache = folder / "models--team--model"
    snapshot = cache / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    for number, path in enumerate(sorted(model.iterdir())):
        path.rename(cache / "blobs" / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    return cache, snapshot


class TestCache:
    @pytest.mark.parametrize("inside", ["", "/snapshots/" + "a" * 40])
    def test_links_into_its_blobs_are_followed(self, imported, inbox, tmp_path, inside):
        hub_cache(inbox, model_folder(tmp_path / "model"))

        version = imported(PathSource(path=f"models--team--model{inside}"))

        assert version.state == "ready", version.error
        assert version.source["commit"] == "a" * 40
        assert "model.safetensors" in version.manifest

    def test_links_out_of_it_are_refused(self, imported, inbox, tmp_path):
        _cache, snapshot = hub_cache(inbox, model_folder(tmp_path / "model"))
        (tmp_path / "secret").write_text("{}")
        (snapshot / "README.md").symlink_to(tmp_path / "secret")

        refused(imported(PathSource(path="models--team--model")), "files.link", "out of the cache")

    def test_an_unknown_revision_names_those_that_there_are(self, ana, model, inbox, tmp_path):
        hub_cache(inbox, model_folder(tmp_path / "model"))
        source = PathSource(path="models--team--model", revision="v9")

        with pytest.raises(FieldError, match="aaaa"):
            version_import(actor=ana, model=model, source=source)


def zipped(files, **options):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, data in files:
            # Without a time of its own: names of tests follow from the bytes.
            info = zipfile.ZipInfo(name) if isinstance(name, str) else name
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def tarred(files, mode="w", **special):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, kind in special.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    return out.getvalue()


def archive(name, data, **options):
    return UploadSource(files=[stored(name, data)], **options)


def tree(folder, prefix=""):
    return [(prefix + path.name, path.read_bytes()) for path in sorted(folder.iterdir())]


class TestArchive:
    @pytest.mark.parametrize(
        ("name", "pack"),
        [
            ("m.zip", zipped),
            ("m.tar", tarred),
            ("m.tar.gz", lambda files: tarred(files, "w:gz")),
            ("m.tar.zst", lambda files: zstandard.compress(tarred(files))),
        ],
    )
    def test_gives_the_same_version_as_the_folder(self, imported, inbox, name, pack):
        folder = model_folder(inbox / "llama")
        first = imported(PathSource(path="llama"))

        version = imported(archive(name, pack(tree(folder, "my-model/"))))

        assert version.state == "ready", version.error
        assert version.digest == first.digest
        assert version.source["same_as"] == "poet v1"

    def test_is_not_kept_once_it_is_unpacked(self, imported, tmp_path):
        data = zipped(tree(model_folder(tmp_path / "model")))

        version = imported(archive("m.zip", data))
        blobs_collect(grace=timedelta(0))

        assert version.source["upload"]["integrity"].startswith("sha256-")
        assert set(blobs()) == {entry["sha256"] for entry in version.manifest.values()}

    @pytest.mark.parametrize(
        ("data", "rule"),
        [
            (zipped([("../../x.json", b"{}")]), "files.path"),
            (zipped([("/etc/x.json", b"{}")]), "files.path"),
            (zipped([("C:\\x.json", b"{}")]), "files.path"),
            (zipped([("d/" * 90 + "x.json", b"{}")]), "files.deep"),
            (zipped([("é.json", b"{}"), ("e\u0301.json", b"{}")]), "files.twice"),
            (zipped([("a.json", b"{}"), ("A.json", b"{}")]), "files.twice"),
            (zipped([(f"{n}.json", b"") for n in range(10_000)]), "files.many"),
            (zipped([("config.json", b"0" * (64 << 20))]), "files.ratio"),
            (zipped([("inner.zip", zipped([("a", b"b")]))]), "files.nested"),
            (zipped([("config.json", b"{}")])[:-40], "files.archive"),
            (b"not an archive", "files.archive"),
            (b"\x1f\x8b\x08\0\0\0\0\0\0\x03broken", "files.archive"),
            (tarred([], a=tarfile.SYMTYPE), "files.link"),
            (tarred([], a=tarfile.LNKTYPE), "files.link"),
            (tarred([], a=tarfile.CHRTYPE), "files.special"),
            (tarred([], a=tarfile.FIFOTYPE), "files.special"),
            (tarred([("../x.json", b"{}")]), "files.path"),
            (tarred([("/x.json", b"{}")]), "files.path"),
            (tarred([("config.json", b"{}"), ("config.json", b"{}")]), "files.twice"),
            (tarred([("config.json", b"0" * (64 << 20))], "w:gz"), "files.ratio"),
            (zstandard.compress(tarred([("config.json", b"0" * (64 << 20))])), "files.ratio"),
            (tarred([("x" * (3 << 20), b"")], "w:gz"), "files.ratio"),
        ],
    )
    def test_what_would_do_harm_is_refused(self, imported, settings, data, rule):
        name = "m.zip" if data[:2] == b"PK" else "m.tar"

        version = imported(archive(name, data))

        refused(version, rule)
        blobs_collect(grace=timedelta(0))
        assert not blobs()

    def test_links_in_a_zip_are_refused(self, imported):
        info = zipfile.ZipInfo("config.json")
        info.external_attr = 0o120777 << 16

        refused(imported(archive("m.zip", zipped([(info, b"/etc/passwd")]))), "files.link")

    @pytest.mark.parametrize("name", ["m.rar", "m.safetensors", "m", "\u202e.zip"])
    def test_other_kinds_of_archive_are_refused_before_there_is_a_job(self, ana, model, name):
        with pytest.raises(FieldError, match=r"archive|printable"):
            version_import(actor=ana, model=model, source=archive(name, b"x"))

        assert not Job.objects.exists()


class TestArpa:
    TEXT = (
        b"\\data\\\nngram 1=5\nngram 2=2\n\n\\1-grams:\n-1.0\t<unk>\n-99\t<s>\t-0.3\n"
        b"-0.7\t</s>\n-0.5\tbig\t-0.2\n-0.6\tboat\t-0.1\n\n\\2-grams:\n-0.2\t<s> big\n"
        b"-0.1\tbig boat\n\n\\end\\\n"
    )

    def test_becomes_an_ngram_model_that_scores(self, ana, team, imported, tmp_path):
        data = ready_data(ana, team, tmp_path)
        version = imported(archive("m.zip", zipped([("lm.arpa", self.TEXT)])))

        assert (version.state, version.format) == ("ready", "ngram"), version.error
        assert (version.model.family, version.facts["order"]) == ("ngram", 2)
        assert "model.arpa" not in version.manifest
        job = evaluation_start(actor=ana, version=version, dataset_version=data)
        job = run_job(job, tmp_path)
        assert job.state == "succeeded", job.reason

    def test_what_is_wrong_is_told_with_its_line(self, imported):
        broken = self.TEXT.replace(b"-0.6\tboat", b"0.6\tboat")

        refused(imported(archive("m.zip", zipped([("lm.arpa", broken)]))), "weights.arpa")


class TestHub:
    def test_files_come_with_their_digests_and_the_commit(self, imported, hub):
        version = imported(hub_source(hub))

        assert version.state == "ready", version.error
        assert version.source["commit"] == COMMIT
        assert version.source["transferred_bytes"] == version.size_bytes
        assert version.source["files"]["config.json"]["etag"]

    def test_the_second_time_nothing_is_transferred(self, imported, hub):
        first = imported(hub_source(hub))
        sent = hub.sent

        second = imported(hub_source(hub))

        assert hub.sent == sent and second.source["transferred_bytes"] == 0
        assert second.digest == first.digest
        assert second.source["same_as"] == "poet v1"

    def test_files_of_another_team_are_transferred_all_the_same(
        self, imported, hub, cai, other_team
    ):
        imported(hub_source(hub))
        theirs = model_create(actor=cai, team=other_team, name="theirs")

        version = version_import(actor=cai, model=theirs, source=hub_source(hub))
        job = Job.objects.get(pk=version.produced_by_id)
        from workers.importing.sources import known_files

        assert known_files(version) == {"sha256": {}, "etags": {}} and job.team == other_team

    def test_a_token_is_sent_and_stands_nowhere(self, imported, hub, caplog):
        hub.token = SECRET

        version = imported(hub_source(hub, token=SECRET))

        assert version.state == "ready", version.error
        assert {token for _name, _at, token in hub.asked} == {SECRET}
        assert not ImportToken.objects.exists()
        rows = [version.source, version.produced_by.params, version.produced_by.result]
        rows += [event.changes for event in AuditEvent.objects.all()]
        assert SECRET not in json.dumps(rows, default=str) + caplog.text

    def test_while_it_waits_the_token_is_sealed(self, ana, model, hub):
        version_import(actor=ana, model=model, source=hub_source(hub, token=SECRET))

        assert SECRET not in ImportToken.objects.get().sealed

    def test_a_wrong_token_is_told_beside_its_field(self, imported, hub):
        hub.token = SECRET

        refused(imported(hub_source(hub, token="wrong")), None, "token")

    def test_goes_on_where_a_connection_broke(self, imported, hub):
        size = len(hub.files["model.safetensors"])
        hub.cuts["model.safetensors"] = [size // 3, size // 2]

        version = imported(hub_source(hub))

        assert version.state == "ready", version.error
        begins = [begin for name, begin, _ in hub.asked if name == "model.safetensors"]
        assert begins == [0, size // 3, size // 2]
        assert hub.sent == version.size_bytes

    def test_begins_anew_where_the_hub_knows_no_ranges(self, imported, hub):
        hub.cuts["model.safetensors"], hub.ignores_ranges = [5000], True

        assert imported(hub_source(hub)).state == "ready"

    @pytest.mark.parametrize(
        ("lie", "word"),
        [
            ({"lfs": {"sha256": "0" * 64, "size": None}}, "sha256"),
            ({"size": 100}, "more than"),
        ],
    )
    def test_lies_about_a_file_are_found(self, imported, hub, lie, word):
        name = "model.safetensors" if "lfs" in lie else "config.json"
        hub.lies[name] = lie

        version = imported(hub_source(hub))

        refused(version, None, word)
        assert version.produced_by.reason_code != "" or version.error
        assert not blobs()

    def test_a_hub_that_is_away_is_tried_again_later(self, ana, model, hub, tmp_path, monkeypatch):
        monkeypatch.setattr("workers.importing.hub.PAUSE_S", 0)
        hub.status = [503]
        version = version_import(actor=ana, model=model, source=hub_source(hub))

        job = run_job(version.produced_by, tmp_path)

        assert job.state == "pending" and job.attempts.get().reason_code == "source_away"
        version.refresh_from_db()
        assert version.state == "pending"

    def test_names_out_of_the_hub_pass_the_same_gate(self, imported, hub):
        hub.files["../../evil.json"] = b"{}"
        hub.files["pytorch_model.bin"] = pickle.dumps(os.getcwd)
        sent = hub.sent

        version = imported(hub_source(hub))

        refused(version, "files.path")
        refused(version, "code.pickle")
        assert hub.sent - sent < 4096, "nothing is transferred for what cannot come to be"

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"url": "http://169.254.169.254"}, "url"),
            ({"url": "http://user:pw@127.0.0.1"}, "url"),
            ({"url": "file:///etc/passwd"}, "url"),
            ({"repo": "../../x"}, "repo"),
            ({"repo": "a/b/c"}, "repo"),
            ({"revision": "../.."}, "revision"),
            ({"token": "two words"}, "token"),
        ],
    )
    def test_only_allowed_hubs_are_asked(self, ana, model, hub, changes, field):
        with pytest.raises(FieldError) as told:
            version_import(actor=ana, model=model, source=hub_source(hub, **changes))

        assert told.value.field == field

    def test_without_a_list_the_operator_is_asked_for_one(self, ana, model, hub, settings):
        settings.IMPORT_HUBS = ()

        with pytest.raises(FieldError, match="SLIPWAY_IMPORT_HUBS"):
            version_import(actor=ana, model=model, source=hub_source(hub))

    def test_redirects_to_other_hosts_carry_no_token(self, imported, hub, settings):
        hub.token = SECRET
        cdn = FakeHub(hub.files)
        settings.IMPORT_HUBS = (hub.url, cdn.url)
        hub.elsewhere["model.safetensors"] = f"{cdn.url}/cdn/model.safetensors"

        version = imported(hub_source(hub, token=SECRET))
        cdn.close()

        assert version.state == "ready", version.error
        assert [token for _n, _b, token in cdn.asked] == [""]

    @pytest.mark.parametrize("host", ["127.0.0.1:9", "[::1]:9", "169.254.169.254", "localhost:9"])
    def test_redirects_into_the_house_are_refused(self, imported, hub, host):
        hub.elsewhere["model.safetensors"] = f"http://{host}/cdn/model.safetensors"

        refused(imported(hub_source(hub)), None, "not on the public net")


class TestAdapters:
    @pytest.fixture
    def base(self, imported, inbox):
        model_folder(inbox / "llama")
        return imported(PathSource(path="llama"))

    @pytest.fixture
    def lora(self, ana, team):
        return model_create(actor=ana, team=team, name="lora")

    def test_five_versions_of_one_base_take_its_bytes_once(self, imported, inbox, base, lora):
        before = sum(blobs().values())
        for seed in range(5):
            adapter_folder(inbox / f"lora-{seed}", seed=seed)

        versions = [
            imported(PathSource(path=f"lora-{seed}"), model=lora, base_version=base)
            for seed in range(5)
        ]

        assert [version.state for version in versions] == ["ready"] * 5
        assert {version.base_version for version in versions} == {base}
        assert all(version.manifest.keys() == {"adapter_config.json", "adapter_model.safetensors"}
                   for version in versions)  # fmt: skip
        own = sum(version.manifest["adapter_model.safetensors"]["size"] for version in versions)
        config = versions[0].manifest["adapter_config.json"]["size"]
        assert sum(blobs().values()) == before + own + config
        lora.refresh_from_db()
        assert lora.family == "adapter" and versions[0].facts["rank"] == 4

    def test_without_its_base_is_refused_with_the_remedy(self, imported, inbox, lora):
        adapter_folder(inbox / "lora")

        refused(imported(PathSource(path="lora"), model=lora), "adapter.base", "base version")

    def test_does_not_mix_with_whole_models(self, imported, inbox, base):
        adapter_folder(inbox / "lora")

        refused(imported(PathSource(path="lora"), base_version=base), None, "new model")

    def test_is_refused_where_a_whole_model_is_needed(
        self, imported, inbox, base, lora, ana, team, tmp_path
    ):
        adapter_folder(inbox / "lora")
        adapter = imported(PathSource(path="lora"), model=lora, base_version=base)
        data = ready_data(ana, team, tmp_path)

        from models_app.registry.services import training_plan
        from tests.workers.jobs.test_train import TINY

        for attempt in (
            lambda: training_plan(actor=ana, team=team, dataset_version=data, base_version=adapter,
                                  spec={**TINY, "preset": None, "tokenizer": "base"}),
            lambda: version_import(actor=ana, model=lora, source=PathSource(path="lora"),
                                   base_version=adapter),
        ):  # fmt: skip
            with pytest.raises(InvalidInput, match="merge it into a version first"):
                attempt()


class TestAgain:
    def test_two_at_once_are_two_versions_that_know_each_other(self, ana, model, inbox, tmp_path):
        model_folder(inbox / "llama")
        first, second = (
            version_import(actor=ana, model=model, source=PathSource(path="llama"))
            for _ in range(2)
        )

        run_job(second.produced_by, tmp_path)
        run_job(first.produced_by, tmp_path)

        first.refresh_from_db(), second.refresh_from_db()
        assert (first.number, second.number) == (1, 2)
        assert first.state == second.state == "ready" and first.digest == second.digest
        assert first.source["same_as"] == "poet v2" and second.source["same_as"] is None

    def test_a_repeated_key_answers_the_same_version(self, ana, model, inbox):
        model_folder(inbox / "llama")
        made = [
            version_import(actor=ana, model=model, source=PathSource(path="llama"),
                           idempotency_key="k")
            for _ in range(2)
        ]  # fmt: skip

        assert made[0] == made[1] and Job.objects.count() == 1

    def test_what_was_quarantined_does_not_come_back_as_new(self, imported, inbox, ana):
        model_folder(inbox / "llama")
        version_quarantine(actor=ana, version=imported(PathSource(path="llama")), reason="leaks")

        refused(imported(PathSource(path="llama")), None, "quarantined: leaks")
