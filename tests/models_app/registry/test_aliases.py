"""Aliases: set by compare-and-swap, resolved with every other way to name a version, remembered."""

import threading

import pytest
from django.db import connections

from models_app.audit.models import AuditEvent
from models_app.core.errors import Conflict, FieldError, NotFound, PermissionDenied
from models_app.registry.models import Alias, ModelVersion
from models_app.registry.naming import version_named
from models_app.registry.services import alias_delete, alias_set
from tests.factories.deployments import ready_version
from tests.waiting import WAIT_S

V1 = "/api/v1"


@pytest.fixture
def versions(team):
    return [ready_version(team, text=f"weights {n}") for n in range(3)]


@pytest.fixture
def model(versions):
    return versions[0].model


@pytest.mark.django_db
class TestServices:
    def test_a_move_is_remembered_with_who_and_why(self, ben, model, versions):
        alias_set(actor=ben, model=model, name="champion", version=versions[0], expected=None)
        alias_set(
            actor=ben, model=model, name="champion", version=versions[2], expected=1,
            reason="Better on legal texts",
        )  # fmt: skip
        alias_delete(actor=ben, model=model, name="champion", expected=3, reason="Retired")

        moves = [(m.old and m.old.number, m.new and m.new.number, m.reason, m.moved_by)
                 for m in model.alias_moves.all()]  # fmt: skip
        assert moves == [
            (3, None, "Retired", ben), (1, 3, "Better on legal texts", ben), (None, 1, "", ben),
        ]  # fmt: skip
        assert not Alias.objects.exists()
        actions = AuditEvent.objects.filter(action__startswith="alias.").order_by("id")
        assert list(actions.values_list("action", flat=True)) == [
            "alias.moved", "alias.moved", "alias.deleted",
        ]  # fmt: skip

    @pytest.mark.parametrize("expected", [None, 2])
    def test_who_looked_at_an_older_state_changes_nothing(self, ben, model, versions, expected):
        alias_set(actor=ben, model=model, name="champion", version=versions[0], expected=None)

        with pytest.raises(Conflict, match="points to v1 by now"):
            alias_set(
                actor=ben, model=model, name="champion", version=versions[2], expected=expected
            )
        with pytest.raises(Conflict):
            alias_delete(actor=ben, model=model, name="champion", expected=2)

        assert Alias.objects.get().version == versions[0]

    @pytest.mark.parametrize(
        "name", ["latest", "main", "v3", "12", "a" * 40, "Champion", "a b", "", "f" * 64]
    )
    def test_names_that_mean_something_else_are_refused(self, ben, model, versions, name):
        with pytest.raises(FieldError) as caught:
            alias_set(actor=ben, model=model, name=name, version=versions[0], expected=None)

        assert caught.value.field == "name"

    def test_only_ready_versions_of_the_model_get_names(self, ben, team, model, versions):
        ModelVersion.objects.filter(pk=versions[1].pk).update(state="quarantined")
        other = ready_version(team, name="other")

        for version in (versions[1], other):
            with pytest.raises(FieldError) as caught:
                alias_set(actor=ben, model=model, name="a", version=version, expected=None)
            assert caught.value.field == "version"

    def test_viewers_and_outsiders_move_nothing(self, eve, cai, model, versions):
        with pytest.raises(PermissionDenied):
            alias_set(actor=eve, model=model, name="a", version=versions[0], expected=None)
        with pytest.raises(NotFound):
            alias_set(actor=cai, model=model, name="a", version=versions[0], expected=None)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_move_it_at_once_one_is_told(ana, ben, team):
    versions = [ready_version(team, text=f"weights {n}") for n in range(3)]
    model = versions[0].model
    alias_set(actor=ana, model=model, name="champion", version=versions[0], expected=None)
    start, said = threading.Barrier(2), []

    def move(version):
        start.wait(WAIT_S)
        try:
            alias_set(actor=ben, model=model, name="champion", version=version, expected=1)
            said.append("moved")
        except Conflict:
            said.append("conflict")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=move, args=[version]) for version in versions[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(said) == ["conflict", "moved"]
    assert model.alias_moves.count() == 2


@pytest.mark.django_db
class TestNames:
    def test_every_way_to_name_a_version(self, ben, model, versions):
        alias_set(actor=ben, model=model, name="champion", version=versions[0], expected=None)
        second = versions[1]

        named = {
            name: version_named(model=model, name=name).number
            for name in ("v2", "2", "champion", "latest", second.digest, second.digest[:40],
                         second.digest[:12])
        }  # fmt: skip

        assert list(named.values()) == [2, 2, 1, 3, 2, 2, 2]

    def test_the_newest_ready_one_of_equal_files_and_of_all_is_meant(self, team, model, versions):
        same = ready_version(team, text="weights 0")
        ModelVersion.objects.filter(pk=same.pk).update(state="quarantined")

        assert version_named(model=model, name=same.digest).number == 1
        assert version_named(model=model, name="latest").number == 3
        assert version_named(model=model, name="v4").state == "quarantined"

    @pytest.mark.parametrize("name", ["v9", "v0", "nobody", "", "0" * 40, "../etc", "é" * 300])
    def test_other_names_are_not_found(self, model, name):
        with pytest.raises(NotFound):
            version_named(model=model, name=name)


@pytest.mark.django_db
class TestApi:
    def test_set_read_move_back_and_delete(self, ben, model, versions, api_for):
        api, url = api_for(ben), f"{V1}/models/{model.pk}/aliases/champion"

        made = api.put(url, {"version": "v1"}, format="json")
        moved = api.put(
            url, {"version": 3, "reason": "Better"}, format="json", headers={"If-Match": '"v1"'}
        )
        lost = api.put(url, {"version": "v2", "expected": 1}, format="json")
        listed = api.get(f"{V1}/models/{model.pk}/aliases").json()
        blind = api.delete(url)
        gone = api.delete(f"{url}?expected=3")

        assert (made.status_code, made["ETag"]) == (200, '"v1"')
        assert (moved.status_code, moved["ETag"]) == (200, '"v3"')
        assert [move["new"] for move in moved.json()["history"]] == [3, 1]
        assert moved.json()["history"][0]["moved_by"] == ben.email
        assert (lost.status_code, lost.json()["version"]) == (409, 3)
        assert [(row["name"], row["version"]) for row in listed] == [("champion", 3)]
        assert blind.status_code == 422
        assert gone.status_code == 204
        assert api.get(url).status_code == 404

    def test_models_and_versions_say_their_names(self, ben, model, versions, api_for):
        for name, version in (("stable", versions[0]), ("champion", versions[2])):
            alias_set(actor=ben, model=model, name=name, version=version)
        alias_set(actor=ben, model=model, name="best", version=versions[2])
        api = api_for(ben)

        names = {"best": 3, "champion": 3, "stable": 1}
        assert api.get(f"{V1}/models/{model.pk}").json()["aliases"] == names
        assert api.get(f"{V1}/models").json()["results"][0]["aliases"] == names
        rows = api.get(f"{V1}/models/{model.pk}/versions").json()["results"]
        assert [row["aliases"] for row in rows] == [["best", "champion"], [], ["stable"]]
        assert api.get(rows[0]["url"]).json()["aliases"] == ["best", "champion"]

    def test_outsiders_learn_nothing(self, cai, ben, model, versions, api_for):
        alias_set(actor=ben, model=model, name="champion", version=versions[0], expected=None)
        api = api_for(cai)

        for path in ("aliases", "aliases/champion", "tags"):
            assert api.get(f"{V1}/models/{model.pk}/{path}").status_code == 404

    def test_a_version_that_is_not_there_names_the_field(self, ben, model, api_for):
        answer = api_for(ben).put(
            f"{V1}/models/{model.pk}/aliases/a", {"version": "v77"}, format="json"
        )

        assert answer.status_code == 422
        assert "version" in answer.json()["errors"]
