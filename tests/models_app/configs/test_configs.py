"""Configurations: revisions, duplicates, differences, schemas, rights."""

import pytest

from models_app.configs.diff import diff
from models_app.configs.services import config_revise
from models_app.core.errors import InvalidInput, NotFound

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
