"""A person who reads 简体中文 is refused in Chinese: on pages, and in problems of the API."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from models_app.registry.models import ModelVersion
from models_app.registry.services import model_create
from tests.factories.deployments import deployment_of, environment, ready_version, revision_of
from tests.reading import english_in, told

pytestmark = pytest.mark.django_db
CHINESE = {"HTTP_ACCEPT_LANGUAGE": "zh-Hans"}
ENGLISH = {"HTTP_ACCEPT_LANGUAGE": "en"}
V1 = "/api/v1"


@pytest.fixture
def proposed(ana, team):
    """A revision that waits for approval; Ana asked for it and is an admin of the team."""
    return revision_of(ana, deployment_of(ana, team, env="production"))


@pytest.fixture
def model(ana, team):
    return model_create(actor=ana, team=team, name="poet")


class Pages:
    """Posts a form in both languages, each in a browser of its own; says what Chinese said."""

    def __init__(self, browser):
        self.browser = browser

    def refused(self, url: str, form: dict | None = None, *, status: int) -> str:
        texts = {}
        for name, language in (("english", ENGLISH), ("chinese", CHINESE)):
            fresh = {
                key: SimpleUploadedFile(value[0], value[1]) if isinstance(value, tuple) else value
                for key, value in (form or {}).items()
            }
            answer = self.browser().post(url, fresh, **language)
            assert answer.status_code == status, answer.content[:500]
            texts[name] = told(answer)
        assert len(texts["english"]) == len(texts["chinese"]) > 0
        assert any(english_in(text) for text in texts["english"])
        for text in texts["chinese"]:
            assert not english_in(text), text
        return " ".join(texts["chinese"])


@pytest.fixture
def pages(client_for):
    return lambda user: Pages(lambda: client_for(user))


class TestPages:
    def test_nobody_approves_what_they_asked_for(self, ana, proposed, pages):
        url = reverse("approval_detail", args=[proposed.approval_id])

        said = pages(ana).refused(url, {"decision": "approve", "comment": ""}, status=403)

        assert "必须由他人决定" in said

    def test_a_rejection_needs_a_reason(self, dan, proposed, pages):
        url = reverse("approval_detail", args=[proposed.approval_id])

        said = pages(dan).refused(url, {"decision": "reject", "comment": ""}, status=422)

        assert "拒绝的原因" in said

    def test_a_revision_that_waits_cannot_be_rolled_out(self, ana, proposed, pages):
        url = "/deployments/research/writer/revisions/1/roll-out/"

        said = pages(ana).refused(url, status=302)

        assert "等待审批" in said

    @pytest.mark.parametrize("name", ["No Good", "-"])
    def test_a_name_that_is_none(self, ana, team, pages, name):
        form = {"team": team.slug, "name": name, "description": ""}

        said = pages(ana).refused("/models/new/", form, status=422)

        assert "小写字母" in said

    def test_a_name_that_is_taken(self, ana, model, pages):
        form = {"team": "research", "name": "poet", "description": ""}

        said = pages(ana).refused("/models/new/", form, status=422)

        assert "'poet'" in said

    def test_a_state_is_told_by_its_word(self, ana, team, pages):
        version = ready_version(team)
        ModelVersion.objects.filter(pk=version.pk).update(state="failed")
        url = "/models/research/poet/versions/1/quarantine/"

        said = pages(ana).refused(url, {"reason": "strange"}, status=302)

        assert f"模型版本 {version.pk} 的状态为“失败”，不能变为“已隔离”" in said

    def test_a_reason_that_is_missing(self, ana, team, pages):
        ready_version(team)
        url = "/models/research/poet/versions/1/quarantine/"

        assert "请填写内容" in pages(ana).refused(url, {"reason": " "}, status=302)

    def test_files_that_are_not_read(self, ana, team, pages):
        form = {
            "name": "texts", "team": "research", "description": "", "source": "upload",
            "document": "auto", "text_field": "text", "split": "random",
            "validation_fraction": "0.1", "seed": "1", "max_documents": "",
            "files": ("a.exe", b"MZ"),
        }  # fmt: skip

        assert "a.exe" in pages(ana).refused("/datasets/new/", form, status=422)

    def test_what_the_role_does_not_allow(self, eve, team, pages):
        assert "datasets.add_dataset" in pages(eve).refused("/datasets/new/", {}, status=403)

    def test_the_last_admin_of_a_team_stays(self, ana, team, pages):
        url = f"/teams/research/members/{ana.pk}/remove/"

        assert "最后一位管理员" in pages(ana).refused(url, status=302)

    def test_a_password_that_is_wrong(self, ana, pages):
        new = "correct horse battery"
        form = {"old_password": "not it", "new_password": new, "again": new}

        assert "当前密码不正确" in pages(ana).refused("/account/password/", form, status=200)

    def test_the_own_account_is_not_deactivated(self, root, pages):
        url = f"/people/{root.pk}/deactivate/"

        assert "您不能停用自己" in pages(root).refused(url, status=403)

    def test_a_date_that_is_none(self, ana, client_for):
        answer = client_for(ana).get("/audit/?since=yesterday", **CHINESE)

        assert "请写日期" in " ".join(told(answer))


def problems(call) -> tuple[dict, dict]:
    """The same refusal in both languages: only what people read may differ."""
    answers = [call(**language) for language in (ENGLISH, CHINESE)]
    english, chinese = (answer.json() for answer in answers)
    assert answers[0].status_code == answers[1].status_code == chinese["status"]
    for name in ("type", "status", "code"):
        assert english[name] == chinese[name]
    assert english.keys() == chinese.keys()
    assert english.get("errors", {}).keys() == chinese.get("errors", {}).keys()
    texts = [chinese["title"], chinese["detail"]]
    texts += [text for texts in chinese.get("errors", {}).values() for text in texts]
    for text in texts:
        assert not english_in(text), text
    assert chinese["detail"] != english["detail"]
    return english, chinese


class TestApi:
    def test_fields_keep_their_names(self, ana, team, api_for):
        api, body = api_for(ana), {"team": "research", "name": "No Good", "owner": "cai"}

        english, chinese = problems(lambda **how: api.post(f"{V1}/models", body, **how))

        assert chinese["code"] == "invalid_input"
        assert chinese["title"] == "部分字段无效"
        assert english["errors"] == {
            "owner": ["There is no such field. Remove it, or check its spelling."]
        }
        assert chinese["errors"] == {"owner": ["没有此字段。请删除它，或检查拼写。"]}

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"team": "research"}, "name"),
            ({"team": "research", "name": 7}, "name"),
            ({"team": "research", "name": "No Good"}, "name"),
            ({"team": "moon", "name": "poet"}, "team"),
            ({"team": "research", "name": "a\x00b"}, "name"),
        ],
    )
    def test_each_wrong_field_is_explained(self, ana, team, api_for, body, field):
        api = api_for(ana)

        _english, chinese = problems(lambda **how: api.post(f"{V1}/models", body, **how))

        assert list(chinese["errors"]) == [field]

    def test_settings_are_explained_by_their_path(self, ana, team, api_for):
        body = {
            "team": "research", "kind": "training", "name": "tiny",
            "spec": {"preset": "gpt2-1m", "batch_size": 0, "precision": "fp8", "steps": "many"},
        }  # fmt: skip
        api = api_for(ana)

        _english, chinese = problems(lambda **how: api.post(f"{V1}/configs", body, **how))

        assert set(chinese["errors"]) == {"spec.batch_size", "spec.precision", "spec.steps"}
        assert chinese["errors"]["spec.batch_size"] == ["必须大于或等于 1。"]

    @pytest.mark.parametrize(
        ("method", "path", "code"),
        [
            ("get", "models/999", "not_found"),
            ("get", "deployments/999", "not_found"),
            ("get", "nowhere", "not_found"),
            ("get", "models?page_size=many", "invalid_input"),
            ("get", "approvals?for=them", "invalid_input"),
            ("post", "teams", "permission_denied"),
            ("delete", "models", "method_not_allowed"),
        ],
    )
    def test_requests_that_cannot_be_served(self, ana, team, api_for, method, path, code):
        api = api_for(ana)
        body = {"slug": "poets", "title": "Poets"} if method == "post" else None

        _english, chinese = problems(
            lambda **how: getattr(api, method)(f"{V1}/{path}", body, **how)
        )

        assert chinese["code"] == code

    def test_a_body_that_is_cut_off(self, ana, team, api_for):
        api, how = api_for(ana), {"content_type": "application/json"}

        answer = api.generic("POST", f"{V1}/models", b'{"team": NaN}', **how, **CHINESE)

        assert answer.status_code == 400
        assert answer.json()["detail"] == "正文不是有效的 JSON：NaN 不是 JSON 数字。"

    def test_a_token_that_nobody_knows(self, client, db):
        how = {"HTTP_AUTHORIZATION": "Bearer slip_unknown"}

        _english, chinese = problems(lambda **more: client.get(f"{V1}/models", **how, **more))

        assert chinese["status"] == 401

    def test_a_token_without_the_scope(self, ana, team, api_for):
        api = api_for(ana, "infer")

        problems(lambda **how: api.get(f"{V1}/models", **how))


class TestWhatIsStored:
    def test_stays_in_the_source_language(self, ana, team, client_for):
        """Others read it as well, whatever the language of the one who caused it."""
        environment("development")
        revision = revision_of(ana, deployment_of(ana, team))

        client_for(ana).post("/deployments/research/writer/abort/", **CHINESE)

        revision.refresh_from_db()
        assert revision.state == "withdrawn"
        assert revision.error == f"Aborted by {ana.email}."
