"""Stock clients push models to the console, and what they may not do."""

import base64
import hashlib
import http.client
import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from models_app.core.clock import now
from models_app.jobs.services import job_cancel
from models_app.registry.models import Draft, Model, ModelVersion
from models_app.registry.services import run_begin, version_register
from tests.clients import HUB_GENERATIONS, client_path
from tests.console.hf.conftest import laid, tiny_model
from tests.factories.access import ApiTokenFactory
from tests.workers.conftest import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


class TestUploads:
    @pytest.mark.parametrize("name", HUB_GENERATIONS[:2])
    def test_large_files_go_before_the_commit_and_only_once(
        self, name, client_of, ben, team, tmp_path
    ):
        large = bytes(range(256)) * 25_000
        laid(tmp_path / "one", {"model.safetensors": large})
        found = client_of(ben, path=client_path(name)).run(
            """
            import json, sys
            from huggingface_hub import HfApi, CommitOperationAdd, CommitOperationDelete
            from huggingface_hub import lfs
            sent = []
            inner = lfs._upload_single_part
            lfs._upload_single_part = lambda *a, **k: (sent.append(1), inner(*a, **k))
            api, repo = HfApi(), "research/large"
            api.create_repo(repo, exist_ok=True)
            first = api.upload_folder(repo_id=repo, folder_path=sys.argv[1])
            same = api.upload_folder(repo_id=repo, folder_path=sys.argv[1])
            api.upload_file(path_or_fileobj=b"notes", path_in_repo="docs/notes.txt", repo_id=repo)
            api.create_commit(repo, [
                CommitOperationDelete("docs/"),
                CommitOperationAdd("copy/model.safetensors", f"{sys.argv[1]}/model.safetensors"),
            ], commit_message="Move.")
            print(json.dumps([len(sent), first.oid == same.oid]))
            """,
            str(tmp_path / "one"),
        )

        assert found == [1, True]
        draft = Draft.objects.get(model__team=team, model__name="large")
        assert set(draft.manifest) == {"model.safetensors", "copy/model.safetensors"}
        assert not draft.model.versions.exists()


@pytest.fixture
def ask(console, team):
    """`ask(token, method, path, body, **headers)`: status, headers and JSON of the answer."""

    def send(token, method, path, body=None, *, length=None):
        connection = http.client.HTTPConnection("127.0.0.1", console.port, timeout=30)
        data = json.dumps(body).encode() if isinstance(body, dict | list) else body
        headers = {"Content-Length": str(length)} if length is not None else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection.request(method, f"/hf/{path}", data, headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, answer.headers, json.loads(text) if text else None

    return send


def commit_of(*changes, parent=None):
    header = {"summary": "push", "description": ""} | ({"parentCommit": parent} if parent else {})
    lines = [{"key": "header", "value": header}, *changes]
    return "\n".join(json.dumps(line) for line in lines).encode()


def plain_file(path, data=b"{}"):
    value = {"path": path, "content": base64.b64encode(data).decode(), "encoding": "base64"}
    return {"key": "file", "value": value}


def sent_before(path, data):
    value = {"path": path, "algo": "sha256", "oid": sha256(data), "size": len(data)}
    return {"key": "lfsFile", "value": value}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


#: Without weights it stays a draft.
PARTS = (plain_file("config.json"), plain_file("notes.txt", b"none"))
COMMIT = "api/models/research/poet/commit/main"
BATCH = "research/poet.git/info/lfs/objects/batch"


class TestRefusals:
    @pytest.fixture
    def token(self, ben, team, model_version):
        Model.objects.create(team=team, name="poet")
        return ApiTokenFactory(user=ben).secret

    def test_nobody_without_the_right_pushes(self, ask, token, ben, eve, cai):
        reader = ApiTokenFactory(user=ben, scopes=["read"]).secret
        viewer = ApiTokenFactory(user=eve).secret
        outsider = ApiTokenFactory(user=cai).secret

        found = [
            ask(one, "POST", COMMIT, commit_of(*PARTS))[0] for one in ("", reader, viewer, outsider)
        ]

        assert found == [401, 403, 403, 404]
        assert not Draft.objects.exists()

    def test_a_file_is_named_only_by_who_has_it(self, ask, token, team, model_version):
        secret = b"weights of another model"
        model_version(team, {"config.json": b"{}", "model.safetensors": secret}, name="other")

        status, headers, _ = ask(
            token, "POST", COMMIT, commit_of(PARTS[0], sent_before("model.safetensors", secret))
        )

        assert status == 422
        assert "was not uploaded" in headers["X-Error-Message"]

    def test_a_file_that_is_damaged_on_the_way(self, ask, token, console):
        data = b"x" * 1000
        wanted = {"operation": "upload", "objects": [{"oid": sha256(data), "size": len(data)}]}
        _, _, told = ask(token, "POST", BATCH, wanted)
        address = told["objects"][0]["actions"]["upload"]["href"].partition("/hf/")[2]

        assert ask("", "PUT", address, b"y" * 1000)[0] == 422
        assert ask("", "PUT", address, b"x" * 999)[0] == 422
        assert ask("", "PUT", address.replace(sha256(data), sha256(b"")), b"")[0] == 403
        assert ask("", "PUT", address[:-2] + "xx", data)[0] == 403
        assert not console.blob(sha256(data)).exists()
        assert ask("", "PUT", address, data)[0] == 200
        assert ask(token, "POST", COMMIT, commit_of(PARTS[0], sent_before("m", data)))[0] == 200

    def test_an_upload_ends_with_its_token(self, ask, token, ben):
        wanted = {"operation": "upload", "objects": [{"oid": sha256(b"x"), "size": 1}]}
        _, _, told = ask(token, "POST", BATCH, wanted)
        address = told["objects"][0]["actions"]["upload"]["href"].partition("/hf/")[2]
        ben.tokens.update(revoked_at=now())

        assert ask("", "PUT", address, b"x")[0] == 403

    def test_whoever_knows_an_older_state_is_told(self, ask, token):
        _, _, first = ask(token, "POST", COMMIT, commit_of(*PARTS))
        ask(token, "POST", COMMIT, commit_of(plain_file("other.txt"), parent=first["commitOid"]))

        status, headers, _ = ask(
            token, "POST", COMMIT, commit_of(plain_file("more.txt"), parent=first["commitOid"])
        )

        assert status == 409
        assert "newest state" in headers["X-Error-Message"]

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 422),
            (b"not json", 422),
            (b'{"key": "header"}', 422),
            (b'{"key": "other", "value": {}}', 422),
            (commit_of(plain_file("../up.json")), 422),
            (commit_of(plain_file("/etc/passwd")), 422),
            (commit_of(plain_file("a\x00b")), 422),
            (commit_of(plain_file("/".join("abcdefghijklmnopqrstuvw"))), 422),
            (commit_of({"key": "deletedFile", "value": {"path": "none"}}), 422),
            (commit_of({"key": "file", "value": {"path": "a", "content": "%%%"}}), 422),
            (commit_of(sent_before("README.md", b"never sent")), 422),
            (
                commit_of(
                    {"key": "lfsFile", "value": {"path": "README.md", "oid": "../x", "size": 1}}
                ),
                422,
            ),
            (
                b'{"key": "file", "value": {"content": "' + b"A" * (3 << 20) + b"%",
                422,
            ),
        ],
    )
    def test_a_commit_that_makes_no_sense_changes_nothing(self, ask, token, console, body, status):
        assert ask(token, "POST", COMMIT, body)[0] == status
        assert not Draft.objects.exists()
        assert not list((console.data_dir / "blobs").glob(".put-*"))

    def test_what_is_not_spoken_says_the_way(self, ask, token):
        _, headers, _ = ask(token, "GET", "api/models/research/poet/xet-write-token/main")
        assert "HF_HUB_DISABLE_XET=1" in headers["X-Error-Message"]
        for path in (COMMIT.replace("main", "dev"), f"{COMMIT}?create_pr=1"):
            status, headers, _ = ask(token, "POST", path, commit_of(*PARTS))
            assert (status, "main" in headers["X-Error-Message"]) == (422, True)
        status, headers, _ = ask(token, "POST", "api/repos/create", {"name": "poet"})
        assert (status, "team/poet" in headers["X-Error-Message"]) == (422, True)
        made = {"name": "Poet", "organization": "research"}
        assert ask(token, "POST", "api/repos/create", made)[0] == 422
        assert ask(token, "POST", "api/repos/create", made | {"name": "poet"})[0] == 409


class TestCard:
    def test_somebodys_own_words_are_kept(self, ask, ben, team):
        token = ApiTokenFactory(user=ben).secret
        Model.objects.create(team=team, name="poet")
        own = b"---\ntags:\n- slipway\n---\n# Verses of our own\n"

        assert ask(token, "POST", COMMIT, commit_of(plain_file("README.md", own)))[0] == 200

        draft = Draft.objects.get(model__name="poet")
        assert draft.manifest["README.md"]["sha256"] == sha256(own)


class TestLargeCommit:
    def test_a_long_line_is_taken_in_pieces(self, ask, ben, team, console):
        token = ApiTokenFactory(user=ben).secret
        Model.objects.create(team=team, name="poet")
        data = bytes(range(256)) * 20_000
        # As huggingface_hub writes it: the content before the path.
        content = base64.b64encode(data).decode()
        line = {"key": "file", "value": {"content": content, "path": "large.txt"}}

        status, _, told = ask(token, "POST", COMMIT, commit_of(PARTS[0], line))

        assert status == 200
        draft = Draft.objects.get(model__name="poet")
        assert draft.digest[:40] == told["commitOid"]
        assert draft.manifest["large.txt"] == {"sha256": sha256(data), "size": len(data)}


class TestWaiting:
    """Pushes to a version that was registered for a run elsewhere."""

    @pytest.fixture
    def waiting(self, ben, team):
        model = Model.objects.create(team=team, name="poet")
        run = run_begin(actor=ben, team=team, name="laptop", model=model)
        return version_register(actor=ben, model=model, run=run)

    def test_a_model_and_its_tokenizer_fill_it(self, client_of, ben, worker, waiting, tmp_path):
        laid(tmp_path / "tiny", tiny_model(tmp_path / "made"))
        found = client_of(ben, path=client_path(HUB_GENERATIONS[-1])).run(
            """
            import json, sys
            from huggingface_hub import model_info
            from huggingface_hub.errors import HfHubHTTPError
            from transformers import AutoModelForCausalLM, AutoTokenizer
            model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
            tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
            model.push_to_hub("research/poet", revision="v1")
            tokenizer.push_to_hub("research/poet", revision="v1")
            try:
                model.push_to_hub("research/poet", revision="v1")
                said = ""
            except HfHubHTTPError as error:
                said = str(error)
            print(json.dumps([model_info("research/poet", revision="v1").sha, said]))
            """,
            str(tmp_path / "tiny"),
        )

        waiting.refresh_from_db()
        assert (waiting.state, waiting.number) == ("ready", 1), waiting.filled_by.reason
        assert waiting.model.versions.count() == 1 and not Draft.objects.exists()
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(waiting.manifest)
        assert found[0] == waiting.digest[:40]
        assert "poet v1 does not wait for files: it is ready" in found[1]

    def test_what_is_refused_leaves_it_waiting_and_says_why(
        self, ask, ben, worker, waiting, tmp_path
    ):
        token = ApiTokenFactory(user=ben).secret
        path, files = COMMIT.replace("main", "v1"), tiny_model(tmp_path / "tiny")
        changes = [plain_file(name, data) for name, data in files.items()]
        bad = plain_file("extra.bin", pickle.dumps(os.system))
        removed = {"key": "deletedFile", "value": {"path": "extra.bin"}}

        refused = ask(token, "POST", path, commit_of(*changes, bad))
        waiting.refresh_from_db()
        assert (refused[0], waiting.state) == (422, "pending")
        assert "extra.bin" in refused[1]["X-Error-Message"]

        assert ask(token, "POST", path, commit_of(removed))[0] == 200
        waiting.refresh_from_db()
        assert waiting.state == "ready"

    def test_it_waits_for_one_push_at_a_time(self, ask, ben, waiting, tmp_path):
        token = ApiTokenFactory(user=ben).secret
        path, files = COMMIT.replace("main", "v1"), tiny_model(tmp_path / "tiny")
        changes = [plain_file(name, data) for name, data in files.items()]
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(ask, token, "POST", path, commit_of(*changes))
            wait_for(lambda: ModelVersion.objects.get().filled_by_id, "the first one is taken")
            status, headers, _ = ask(token, "POST", path, commit_of(plain_file("more.txt")))
            job = ModelVersion.objects.get().filled_by
            job_cancel(actor=ben, job=job)

        assert (status, f"Job {job.pk} brings" in headers["X-Error-Message"]) == (409, True)
        assert (first.result()[0], "more.txt" in Draft.objects.get().manifest) == (422, False)


class TestScan:
    def test_a_dangerous_file_fails_the_push(self, ask, worker, ben, team, tmp_path):
        token = ApiTokenFactory(user=ben).secret
        Model.objects.create(team=team, name="poet")
        files = {**tiny_model(tmp_path / "tiny"), "extra.bin": pickle.dumps(os.system)}
        changes = [plain_file(path, data) for path, data in files.items()]

        status, headers, _ = ask(token, "POST", COMMIT, commit_of(*changes))

        assert status == 422
        assert "extra.bin" in headers["X-Error-Message"]
        version = Model.objects.get(name="poet").versions.get()
        assert (version.state, version.manifest) == ("failed", {})
        removal = {"key": "deletedFile", "value": {"path": "extra.bin"}}
        assert ask(token, "POST", COMMIT, commit_of(removal))[0] == 200
        assert Model.objects.get(name="poet").versions.get(number=2).state == "ready"

    def test_an_adapter_needs_its_base(self, ask, worker, ben, team):
        token = ApiTokenFactory(user=ben).secret
        Model.objects.create(team=team, name="poet")
        config = json.dumps({"base_model_name_or_path": "gpt2", "peft_type": "LORA"}).encode()
        changes = (
            plain_file("adapter_config.json", config),
            plain_file("adapter_model.safetensors", b"x"),
        )

        status, headers, _ = ask(token, "POST", COMMIT, commit_of(*changes))

        assert status == 422
        assert "gpt2" in headers["X-Error-Message"]
        assert "research/model" in headers["X-Error-Message"]
