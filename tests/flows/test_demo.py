"""The demonstration itself, shortened: the public API from data to an answer, and again.

What it has made is then followed from both ends: the files that a stock client pulls and the answer
that a stock client gets are of the one version that the API tells of.
"""

import hashlib
import io
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client as Browser

from console.access.models import User
from console.demo.client import Client
from console.demo.corpus import corpus
from models_app.approvals.models import ApprovalRequest
from models_app.core.digests import tree_digest
from models_app.deployments.models import Deployment, RequestRecord
from models_app.registry.models import ModelVersion
from tests.factories.access import ApiTokenFactory
from tests.workers.conftest import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

#: About as few as teach it more than how often each token comes.
STEPS = 100


@pytest.mark.usefixtures("clock", "environments")
def test_the_demo_runs_through_and_finds_its_work_when_run_again(console_url, capsys, tmp_path):
    said = io.StringIO()
    call_command("demo", base_url=console_url, steps=STEPS, stdout=said)

    assert "The demonstration ran through." in said.getvalue()
    version = ModelVersion.objects.get()
    assert version.metrics["validation_loss"] < version.metrics["unigram_entropy"] - 0.5
    request = ApprovalRequest.objects.get()
    assert request.votes.get().user_id != request.created_by_id
    assert Deployment.objects.get().active_revision.approval == request
    wait_for(lambda: RequestRecord.objects.filter(completion_tokens__gt=0).exists(), "a record")
    one_version_is_told_pulled_and_answers(console_url, version, tmp_path)
    pages_are_there(said.getvalue(), console_url, version.produced_by.created_by)

    call_command("demo", base_url=console_url, steps=STEPS, stdout=io.StringIO())

    assert "holds exactly this already" in capsys.readouterr().out
    assert (ModelVersion.objects.count(), ApprovalRequest.objects.count()) == (1, 1)


def pages_are_there(said: str, url: str, user: User) -> None:
    """Every address that it prints shows something to who made it."""
    paths = [word.removeprefix(url) for word in said.split() if word.startswith(f"{url}/")]
    assert len(paths) >= 5
    User.objects.filter(pk=user.pk).update(must_change_password=False)
    browser = Browser()
    browser.force_login(user)
    assert {path: browser.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)


def one_version_is_told_pulled_and_answers(url: str, version: ModelVersion, folder: Path) -> None:
    """The same digests by the API, by the files of a pull, and by way of an answer."""
    from huggingface_hub import snapshot_download
    from openai import OpenAI

    token = ApiTokenFactory(user=User.objects.get(pk=version.produced_by.created_by_id)).secret
    told = Client(url, token).get(f"model-versions/{version.pk}")
    name = f"{told['team']}/{told['model_name']}"

    pulled = snapshot_download(
        name, revision="v1", endpoint=f"{url}/hf", token=token, local_dir=folder / "pulled"
    )
    found = {path: entry_of(Path(pulled, path)) for path in told["manifest"]}
    assert found == told["manifest"]
    assert tree_digest(found) == told["digest"] == version.digest

    deployment = Deployment.objects.get()
    client = OpenAI(base_url=f"{url}/v1", api_key=token)
    answer = client.chat.completions.with_raw_response.create(
        model=f"{name.partition('/')[0]}/{deployment.name}", max_tokens=4,
        messages=[{"role": "user", "content": "def read"}],
    )  # fmt: skip
    assert answer.parse().usage.completion_tokens > 0
    key = answer.headers["x-request-id"]
    wait_for(lambda: RequestRecord.objects.filter(request_id=key).exists(), "its record")
    nodes = Client(url, token).get("lineage", node=f"request:{key}")["nodes"]
    assert [n["digest"] for n in nodes if n["kind"] == "model_version"] == [told["digest"]]
    assert {"file", "dataset_version", "job", "revision"} <= {n["kind"] for n in nodes}


def entry_of(path: Path) -> dict[str, object]:
    """What the manifest says of a file, by its bytes."""
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


@pytest.mark.nodb
def test_the_corpus_is_the_same_each_time():
    assert corpus() == corpus()
