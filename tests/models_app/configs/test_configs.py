"""Configurations: revisions, duplicates, differences, schemas, rights."""

import jsonschema
import pytest

from models_app.configs.diff import diff
from models_app.configs.services import config_revise
from models_app.configs.specs import SPECS
from models_app.core.errors import InvalidInput, NotFound
from models_app.core.validation import parse

V1 = "/api/v1"


def revise(actor, team, **spec):
    return config_revise(actor=actor, team=team, kind="serving", name="small", spec=spec)


class TestDiff:
    def test_tells_paths_with_old_and_new(self):
        found = diff({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 4}, "e": None})

        assert [(c.path, c.kind, c.old, c.new) for c in found] == [
            ("b.c", "changed", 2, 4), ("b.d", "removed", 3, None), ("e", "added", None, None),
        ]  # fmt: skip


@pytest.mark.django_db
class TestRevise:
    def test_numbers_revisions_and_keeps_what_is_the_same(self, ana, team):
        one = revise(ana, team, replicas=1)
        same = revise(ana, team)
        two = revise(ana, team, replicas=2)
        back = revise(ana, team, replicas=1)

        assert one == same
        assert [row.number for row in (one, two, back)] == [1, 2, 3]
        assert one.digest == back.digest != two.digest
        assert one.spec["keep_warm_s"] == 300

    def test_refuses_unknown_fields_and_kinds(self, ana, team):
        with pytest.raises(InvalidInput) as refused:
            revise(ana, team, replicas=0, replica=1)
        assert set(refused.value.errors) == {"spec.replicas", "spec.replica"}
        with pytest.raises(InvalidInput):
            config_revise(actor=ana, team=team, kind="odd", name="a", spec={})

    def test_hides_the_team_from_outsiders(self, cai, team):
        with pytest.raises(NotFound):
            revise(cai, team)


@pytest.mark.django_db
class TestApi:
    def test_stores_lists_and_compares(self, ben, team, api_for):
        api = api_for(ben)
        body = {"team": "research", "kind": "serving", "name": "small", "spec": {"replicas": 1}}

        one = api.post(f"{V1}/configs", body).json()
        two = api.post(
            f"{V1}/configs/{one['config']}/revisions", {"spec": {"replicas": 2}, "reason": "Load"}
        ).json()
        changes = api.get(f"{V1}/config-revisions/{one['id']}/diff/{two['id']}").json()["changes"]
        listed = api.get(f"{V1}/configs/{one['config']}/revisions").json()["results"]

        assert [(c["path"], c["old"], c["new"]) for c in changes] == [("replicas", 1, 2)]
        assert [row["number"] for row in listed] == [2, 1]
        assert listed[0]["author"] == ben.email

    def test_gives_schemas_and_presets(self, ben, team, api_for):
        schema = api_for(ben).get(f"{V1}/configs/schema/training").json()
        presets = api_for(ben).get(f"{V1}/configs/presets").json()["presets"]

        for field in schema["properties"].values():
            assert field["title"]
            assert field["description"]
        assert schema["properties"]["steps"]["minimum"] == 1
        assert "gpt2-1m" in {row["name"] for row in presets}

    def test_takes_yaml_and_gives_the_same_back(self, ben, team, api_for):
        api = api_for(ben)
        body = {"team": "research", "kind": "serving", "name": "small", "yaml": "replicas: 2\n"}
        one = api.post(f"{V1}/configs", body).json()

        again = api.post(
            f"{V1}/configs/{one['config']}/revisions", {"yaml": one["yaml"], "reason": "Same"}
        ).json()
        file = api.get(f"{V1}/config-revisions/{one['id']}/yaml")
        from_file = api.post(
            f"{V1}/configs/{one['config']}/revisions",
            {"yaml": file.content.decode(), "reason": "Same"},
        ).json()

        assert again["id"] == from_file["id"] == one["id"]
        assert file["Content-Disposition"].endswith('filename="small-r1.serving.yaml"')
        first = file.content.decode().splitlines()[0]
        assert first.endswith("/api/v1/configs/schema/serving")
        assert first.startswith("# yaml-language-server: $schema=http")

    def test_asks_why_for_all_but_the_first(self, ben, team, api_for):
        api = api_for(ben)
        body = {"team": "research", "kind": "serving", "name": "small", "spec": {"replicas": 2}}

        assert api.post(f"{V1}/configs", body).status_code == 201
        refused = api.post(f"{V1}/configs", {**body, "spec": {"replicas": 3}})

        assert refused.status_code == 422
        assert "reason" in refused.json()["errors"]
        assert api.post(f"{V1}/configs", body).status_code == 201

    def test_overwrites_nothing_unseen(self, ben, team, api_for):
        api = api_for(ben)
        one = revise(ben, team, replicas=1)
        url = f"{V1}/configs/{one.config_id}"
        tag = api.get(url)["ETag"]
        revise(ben, team, replicas=2)
        mine = {"spec": {"replicas": 3}, "reason": "Mine"}

        by_tag = api.post(f"{url}/revisions", mine, headers={"If-Match": tag})
        by_field = api.post(f"{url}/revisions", {**mine, "base_revision": 1})
        taken = api.post(f"{V1}/configs", {"team": "research", "kind": "serving", "name": "small",
                                           "spec": {}, "base_revision": 0})  # fmt: skip

        assert (by_tag.status_code, by_field.status_code, taken.status_code) == (412, 409, 409)
        assert by_field.json()["newest"] == 2
        assert [c["path"] for c in by_field.json()["changes"]] == ["replicas"]
        now = api.get(url)["ETag"]
        stored = api.post(f"{url}/revisions", mine, headers={"If-Match": now})
        assert stored.json()["number"] == 3

    def test_compares_with_effects_and_as_lines(self, ben, team, api_for):
        api = api_for(ben)
        one, two = revise(ben, team, replicas=1), revise(ben, team, replicas=4, threads=2)

        found = api.get(f"{V1}/configs/{one.config_id}/diff?from=1&to=2").json()

        assert [c["path"] for c in found["changes"]] == ["replicas", "threads"]
        assert "More model servers" in found["changes"][0]["effect"]
        assert "-replicas: 1\n" in found["unified"]
        assert "+replicas: 4\n" in found["unified"]
        assert found["new"] == two.pk
        assert api.get(f"{V1}/configs/{one.config_id}/diff?from=1&to=9").status_code == 404
        assert api.get(f"{V1}/configs/{one.config_id}/diff").status_code == 422

    def test_checks_without_storing(self, ben, team, api_for):
        api = api_for(ben)

        def check(**body):
            return api.post(f"{V1}/configs/validate", body).json()

        bad = check(kind="training", yaml="preset: gpt2-1m\nsteps: 10\nwarmup_steps: 20\n")
        good = check(kind="serving", spec={"keep_warm_s": 0})

        assert not bad["valid"]
        assert bad["lines"] == {"yaml.warmup_steps": 3}
        assert bad["errors"]["yaml.warmup_steps"][0].startswith("Line 3: ")
        assert good["valid"]
        assert set(good["warnings"]) == {"spec.keep_warm_s"}
        assert good["yaml"].startswith("replicas: 1\n")
        assert api.get(f"{V1}/configs").json()["results"] == []

    @pytest.mark.parametrize("kind", ["training", "serving"])
    def test_schemas_are_valid_drafts_that_fit_what_is_stored(self, ben, team, api_for, kind):
        schema = api_for(ben).get(f"{V1}/configs/schema/{kind}").json()
        spec = parse(SPECS[kind], {"preset": "gpt2-1m"} if kind == "training" else {}).plain()

        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema).validate(spec)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["$id"].endswith(f"/api/v1/configs/schema/{kind}")
        for field in schema["properties"].values():
            assert field["description"]
            assert "default" in field
