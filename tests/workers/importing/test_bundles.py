"""A version moves in a bundle: everything arrives, nothing is believed, bad ones leave nothing."""

import json
import tarfile
from datetime import timedelta

import pytest
import zstandard

from models_app.audit.models import AuditEvent
from models_app.core.blobs import blob_root
from models_app.core.digests import tree_digest
from models_app.core.errors import FieldError
from models_app.registry.bundles.manifest import NAME
from models_app.registry.importing import PathSource, UploadSource
from models_app.registry.models import Evaluation, Model, ModelVersion, VersionOrigin
from models_app.registry.services import card_write, model_create, version_import
from models_app.storage.collecting import blobs_collect
from tests.factories.access import MembershipFactory, TeamFactory, UserFactory
from tests.factories.bundles import (
    bundle_bytes,
    entries_of,
    manifest_in,
    packed,
    with_manifest,
    without_origin,
)
from tests.factories.data import stored
from tests.factories.imports import adapter_folder, change_json, model_folder
from tests.fakes.jobs import RecordingContext, run_job

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def disk(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    settings.IMPORT_DIR = tmp_path / "inbox"
    settings.IMPORT_DIR.mkdir()


@pytest.fixture
def inbox(settings):
    return settings.IMPORT_DIR


@pytest.fixture
def imported(ana, tmp_path):
    """`imported(source, model)`: the version after its job has ended."""

    def run(source, model, *, actor=ana, **options):
        version = version_import(actor=actor, source=source, model=model, **options)
        run_job(version.produced_by, tmp_path / "jobs")
        version.refresh_from_db()
        return version

    return run


@pytest.fixture
def poet(ana, team, inbox, imported):
    """A whole model with words on its card."""
    model_folder(inbox / "llama")
    model = model_create(actor=ana, team=team, name="poet")
    card_write(actor=ana, model=model, body="Writes **verse**.", license="apache-2.0",
               languages=["en"], tags=["verse"])  # fmt: skip
    version = imported(PathSource(path="llama"), model)
    assert version.state == "ready", version.error
    return version


@pytest.fixture
def lora(ana, team, inbox, imported, poet):
    adapter_folder(inbox / "lora")
    model = model_create(actor=ana, team=team, name="lora")
    version = imported(PathSource(path="lora"), model, base_version=poet)
    assert version.state == "ready", version.error
    return version


@pytest.fixture
def fay(other_team):
    """Who imports, in a team of hers."""
    team = TeamFactory(slug="far", title="Far")
    user = UserFactory(name="Fay")
    MembershipFactory(user=user, team=team, role="developer")
    user.team = team
    return type(user).objects.get(pk=user.pk), team


@pytest.fixture
def moved(fay, imported):
    """`moved(data)`: the version that the bundle becomes in a new model of another team."""
    user, team = fay

    def run(data, name="moved", file="poet-v1.slipway.tar", **options):
        model = Model.objects.filter(team=team, name=name).first()
        model = model or model_create(actor=user, team=team, name=name)
        source = UploadSource(files=[stored(file, data)])
        return imported(source, model, actor=user, **options)

    return run


_BYTES: list[bytes] = []


@pytest.fixture
def bundled(request):
    """The bundle of `poet`, made once."""
    if not _BYTES:
        _BYTES.append(bundle_bytes(request.getfixturevalue("poet")))
    return _BYTES[0]


def blobs():
    return {path.name: path.stat().st_size for path in blob_root().glob("??/??/*")}


class TestMoving:
    def test_a_version_arrives_with_all_that_was_known_of_it(self, poet, moved):
        data = bundle_bytes(poet)
        manifest = manifest_in(data)

        version = moved(data)

        assert version.state == "ready", version.error
        assert version.digest == poet.digest == tree_digest(version.manifest)
        assert version.manifest == poet.manifest
        assert (version.origin.model, version.origin.number) == ("poet", 1)
        assert version.origin.record == manifest["record"]
        assert version.origin.record["facts"] == poet.facts
        assert version.source["bundle"] == {"model": "poet", "number": 1, "digest": poet.digest}
        words = version.model.card_texts.get()
        assert (words.body, words.license, words.author) == (
            "Writes **verse**.",
            "apache-2.0",
            None,
        )
        assert version.scans.get().verdict == "passed"

    def test_the_bundle_that_it_gives_differs_in_its_origin_alone(self, poet, moved):
        data = bundle_bytes(poet)
        version = moved(data)

        again = bundle_bytes(version)

        first, second = manifest_in(data), manifest_in(again)
        assert without_origin(first) == without_origin(second)
        assert entries_of(data)[1:] == entries_of(again)[1:]
        assert first["origin"] == {
            "model": "poet", "number": 1, "evaluations": [], "earlier": [],
        }  # fmt: skip
        assert second["origin"] == {
            "model": "moved", "number": 1, "evaluations": [],
            "earlier": [{"model": "poet", "number": 1, "evaluations": []}],
        }  # fmt: skip
        replaced = json.loads(entries_of(again)[0][1]) | {"origin": first["origin"]}
        text = json.dumps(replaced, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert text.encode() + b"\n" == entries_of(data)[0][1]

    def test_figures_of_the_origin_are_no_measurements_of_this_console(self, poet, moved):
        figures = [{"dataset": "texts", "metrics": {"perplexity": 3.5}}]
        data = with_manifest(bundle_bytes(poet), lambda m: m.update(evaluations=figures))

        version = moved(data)

        assert version.origin.evaluations == figures
        assert not Evaluation.objects.filter(version=version).exists()
        assert version.metrics == {}

    def test_words_that_people_wrote_here_stay(self, poet, moved, fay):
        user, team = fay
        model = model_create(actor=user, team=team, name="moved")
        card_write(actor=user, model=model, body="Ours.")

        version = moved(bundle_bytes(poet))

        assert version.model.card_texts.get().body == "Ours."
        assert version.origin.card["body"] == "Writes **verse**."

    def test_a_second_import_stores_nothing_and_says_that_it_exists(self, poet, moved):
        data = bundle_bytes(poet)
        first = moved(data)
        blobs_collect(grace=timedelta(0))
        before = blobs()

        second = moved(data)
        blobs_collect(grace=timedelta(0))

        assert second.state == "ready" and second.source["transferred_bytes"] == 0
        assert second.source["same_as"] == str(first) and blobs() == before

    @pytest.mark.parametrize("pack", [zstandard.compress, lambda data: data])
    def test_it_is_taken_from_the_import_directory_packed_or_not(
        self, poet, inbox, imported, ana, team, pack
    ):
        (inbox / "a.tar").write_bytes(pack(bundle_bytes(poet)))
        model = model_create(actor=ana, team=team, name="there")

        version = imported(PathSource(path="a.tar"), model)

        assert version.state == "ready", version.error
        assert version.origin.model == "poet" and version.source["transferred_bytes"] == 0

    def test_after_a_crash_it_goes_on_where_it_was(self, poet, fay, tmp_path):
        """What an attempt that was killed had taken is not read again."""
        from models_app.jobs.kind import kind_of

        user, team = fay
        source = UploadSource(files=[stored("a.tar", bundle_bytes(poet))])
        model = model_create(actor=user, team=team, name="moved")
        version = version_import(actor=user, source=source, model=model)
        kind, params = kind_of(version.produced_by)
        ctx = RecordingContext(tmp_path / "attempt")
        inputs = kind.load(params, version.produced_by, tmp_path / "inputs")
        assert kind.run(params, inputs, ctx)["transferred_bytes"] == poet.size_bytes
        kept = ctx.work_dir / "import" / "whole.jsonl"
        lines = kept.read_text().splitlines(keepends=True)
        kept.write_text("".join(lines[:-1]) + lines[-1][:30])
        last = json.loads(lines[-1])

        result = kind.run(params, inputs, ctx)

        assert result["transferred_bytes"] == last["size"] < poet.size_bytes
        assert not result["blocked"]


class TestAdapters:
    def test_its_base_becomes_a_version_of_its_own(self, lora, poet, moved):
        data = bundle_bytes(lora)

        version = moved(data)

        assert version.state == "ready", version.error
        base = version.base_version
        assert (base.model.name, base.digest, base.state) == ("poet", poet.digest, "ready")
        assert base.model.team_id == version.team_id != poet.team_id
        assert base.origin.record == manifest_in(data)["base"]["record"]
        assert base.scans.get().verdict == "passed"
        assert without_origin(manifest_in(bundle_bytes(version))) == without_origin(
            manifest_in(data)
        )
        assert AuditEvent.objects.filter(action="model_version.base_imported").count() == 1

    @pytest.mark.parametrize("with_base", [True, False])
    def test_a_base_that_is_there_is_found_by_its_files(self, lora, poet, moved, with_base):
        base = moved(bundle_bytes(poet), name="other-name")
        count = ModelVersion.objects.count()

        version = moved(bundle_bytes(lora, with_base=with_base))

        assert version.state == "ready", version.error
        assert version.base_version == base and ModelVersion.objects.count() == count + 1

    def test_a_model_of_adapters_takes_it_without_being_told_its_base(self, lora, moved):
        first = moved(bundle_bytes(lora))

        second = moved(bundle_bytes(lora))

        assert second.state == "ready" and second.base_version == first.base_version
        assert second.source["same_as"] == str(first)

    def test_without_its_base_here_or_there_it_is_refused(self, lora, moved):
        version = moved(bundle_bytes(lora, with_base=False))

        refused(version, "bundle.base", "poet v1")

    def test_another_base_than_the_one_that_it_names_is_refused(self, lora, moved, inbox, fay):
        _user, team = fay
        data = bundle_bytes(lora)
        change_json(model_folder(inbox / "other", seed=2) / "config.json", rope_theta=5000.0)
        files = [(path.name, path.read_bytes()) for path in sorted((inbox / "other").iterdir())]
        other = moved(packed(files), name="other", file="other.tar")
        assert other.state == "ready", other.error

        version = moved(data, base_version=other)

        refused(version, "bundle.base", "other v1 was chosen")
        assert not ModelVersion.objects.filter(model__team=team, model__name="poet").exists()

    def test_a_base_that_the_scan_blocks_blocks_both(self, lora, moved):
        def change(entries):
            return [(n, d.replace(b'"model_type": "llama"', b'"model_type": "evils"')
                     if n == "base/config.json" else d) for n, d in entries]  # fmt: skip

        data = rehashed(packed(change(entries_of(bundle_bytes(lora)))))

        version = moved(data)

        refused(version, "model.type", "base/config.json")
        assert not Model.objects.filter(team=version.model.team, name="poet").exists()


def rehashed(data):
    """The bundle whose list says what its files are, whatever they are."""
    import hashlib

    entries = dict(entries_of(data))

    def change(manifest):
        for prefix, part in (("files/", manifest), ("base/", manifest["base"])):
            if part is None:
                continue
            tree = part["version"]
            for file in tree["files"]:
                body = entries[prefix + file["path"]]
                file |= {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}
            tree["digest"] = tree_digest({f["path"]: f for f in tree["files"]})

    return with_manifest(data, change)


def refused(version, rule, word=""):
    """It failed, its scan says why, nothing else has come to be and no file is kept."""
    assert version.state == "failed"
    assert word in version.error, version.error
    assert (version.manifest, version.digest) == ({}, "")
    report = version.scans.get().report
    assert rule in {f["rule"] for f in report["findings"]}, report
    assert not VersionOrigin.objects.filter(version=version).exists()


def relisted(key, value):
    return lambda data: with_manifest(data, lambda m: m["version"].__setitem__(key, value))


def twice_listed(manifest):
    manifest["version"]["files"].append(manifest["version"]["files"][0])


def own_base(manifest):
    part = {key: manifest[key] for key in ("origin", "version", "record", "evaluations", "card")}
    manifest["base"] = {**part, "included": False}
    manifest["version"] = {**manifest["version"], "family": "adapter"}


#: What is wrong with the list itself: refused before a version exists.
LISTS = {
    "newer schema": (lambda m: m.update(schema_version=2), "bundle.schema", "up to 1"),
    "no schema": (lambda m: m.pop("schema_version"), "bundle.manifest", "schema_version"),
    "another format": (lambda m: m.update(format="zip"), "bundle.manifest", "slipway-bundle"),
    "unknown field": (lambda m: m.update(scanned=True), "bundle.manifest", "scanned"),
    "listed twice": (lambda m: twice_listed(m), "bundle.twice", "config.json"),
    "tree digest": (lambda m: m["version"].update(digest="0" * 64), "bundle.digest", "0000"),
    "no files": (lambda m: m["version"].update(files=[]), "bundle.manifest", "files"),
    "bad name": (lambda m: m["origin"].update(model="../x"), "bundle.manifest", "origin.model"),
    "bad card": (lambda m: m["card"].update(license="?!"), "bundle.manifest", "licence"),
    "zero byte": (lambda m: m["record"].update(seed="\0"), "bundle.manifest", "zero byte"),
    "no base": (lambda m: m["version"].update(family="adapter"), "bundle.base", "names no base"),
    "own base": (own_base, "bundle.base", "its own base"),
    "not finite": (lambda m: m["record"].update(seed=float("inf")), "bundle.manifest", "finite"),
}


def longer(entries, name, more):
    return [(n, d + more if n == name else d) for n, d in entries]


def changed(entries, name):
    return [(n, b"#" + d[1:] if n == name else d) for n, d in entries]


CONFIG = "files/config.json"
#: What is wrong with the files: found as they come; the version fails and keeps nothing.
FILES = {
    "digest": (lambda e: packed(changed(e, CONFIG)), "bundle.digest", CONFIG),
    "size": (lambda e: packed(longer(e, CONFIG, b" ")), "bundle.digest", CONFIG),
    "unlisted": (lambda e: packed([*e, ("files/x.json", b"{}")]), "bundle.unlisted", "x.json"),
    "litter": (lambda e: packed([*e, (".gitattributes", b"")]), "bundle.unlisted", "gitattr"),
    "outside": (lambda e: packed([*e, ("../x.json", b"{}")]), "bundle.unlisted", "../x.json"),
    "missing": (lambda e: packed([x for x in e if x[0] != CONFIG]), "bundle.missing", CONFIG),
    "twice": (lambda e: packed([*e, e[-1]]), "files.twice", "tokenizer"),
    "two lists": (lambda e: packed([*e, e[0]]), "bundle.manifest", "first entry"),
    "list last": (lambda e: packed([*e[1:], e[0]]), "bundle.manifest", "first entry"),
    "cut short": (lambda e: packed(e)[:-40_000], "files.archive", "damaged"),
    "packed newer": (
        lambda e: zstandard.compress(
            with_manifest(packed(e), lambda m: m.update(schema_version=9))
        ),
        "bundle.schema",
        "9",
    ),
}


class TestRefusals:
    @pytest.mark.parametrize("wrong", LISTS)
    def test_a_list_that_is_wrong_is_refused_at_once(self, bundled, fay, wrong):
        user, team = fay
        change, rule, word = LISTS[wrong]
        model = model_create(actor=user, team=team, name="moved")
        source = UploadSource(files=[stored("a.tar", with_manifest(bundled, change))])

        with pytest.raises(FieldError) as told:
            version_import(actor=user, model=model, source=source)

        assert (told.value.field, told.value.code) == ("files", rule)
        assert NAME in told.value.message and word in told.value.message
        assert not model.versions.exists()

    @pytest.mark.parametrize(
        ("name", "data", "word"),
        [
            ("a.tar", packed([(NAME, b"not JSON")]), "not JSON"),
            ("a.tar", packed([(NAME, b"")]), "not JSON"),
            ("a.tar", packed([(NAME, b"[" * 100_000)]), "not JSON"),
            ("a.tar", packed([(NAME, b'{"format": 1, "format": 2}')]), "twice"),
            ("a.tar", packed([(NAME, b" " * (9 << 20))]), "more than"),
            ("a.slipway.tar", packed([("config.json", b"{}")]), "first entry"),
        ],
    )
    def test_a_list_that_cannot_be_read_is_refused_at_once(self, fay, name, data, word):
        user, team = fay
        model = model_create(actor=user, team=team, name="moved")
        source = UploadSource(files=[stored(name, data)])

        with pytest.raises(FieldError, match=word) as told:
            version_import(actor=user, model=model, source=source)

        assert told.value.code == "bundle.manifest"

    @pytest.mark.parametrize("wrong", FILES)
    def test_files_that_are_wrong_leave_nothing_behind(self, bundled, moved, wrong):
        change, rule, word = FILES[wrong]
        before = set(blobs())

        version = moved(change(entries_of(bundled)), file="a.tar")
        blobs_collect(grace=timedelta(0))

        refused(version, rule, word)
        assert version.scans.get().report["findings"][0]["remedy"]
        assert set(blobs()) == before

    def test_neither_many_files_nor_many_entries_get_in(self, bundled, moved, settings):
        count = len(entries_of(bundled)) - 1
        settings.IMPORT_MODEL_FILES = count - 1
        refused(moved(bundled), "files.many", "at most")
        settings.IMPORT_MODEL_FILES = count
        assert moved(bundled).state == "ready"

        more = [(f"files/{n}.json", b"") for n in range(1000)]
        version = moved(packed([*entries_of(bundled), *more]), file="a.tar")

        refused(version, "files.many")
        assert version.scans.get().report["counts"]["blocked"] < 20

    def test_links_are_refused(self, bundled, moved):
        import io

        out = io.BytesIO(bundled[: -2 * tarfile.BLOCKSIZE])
        out.seek(0, 2)
        with tarfile.open(fileobj=out, mode="w") as archive:
            info = tarfile.TarInfo("files/x.json")
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)

        refused(moved(out.getvalue(), file="a.tar"), "files.link")

    def test_a_bundle_that_says_it_was_scanned_is_scanned(self, bundled, moved):
        entries = changed_text(entries_of(bundled))
        data = rehashed(packed(entries))

        refused(moved(data), "code.remote", "auto_map")

    def test_what_belongs_to_plain_archives_is_refused(self, bundled, fay):
        user, team = fay
        model = model_create(actor=user, team=team, name="moved")
        source = UploadSource(files=[stored("a.tar", bundled)], leave_out=["*.md"])

        with pytest.raises(FieldError) as told:
            version_import(actor=user, model=model, source=source)

        assert told.value.field == "leave_out"


def changed_text(entries):
    def body(data):
        return json.dumps({**json.loads(data), "auto_map": {"AutoModel": "a.B"}}).encode()

    return [(name, body(data) if name == CONFIG else data) for name, data in entries]
