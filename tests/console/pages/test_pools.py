"""Pages of pools: limits, shares and reasons for members; making and changing for admins."""

import pytest
from django.urls import reverse

from models_app.jobs.models import Job
from models_app.pools.models import Node, Pool
from tests.factories.jobs import claimed, submitted
from tests.factories.nodes import pool_of, ready_node
from tests.matrix import assert_hidden, assert_needs_sign_in

pytestmark = pytest.mark.django_db
NEW = {"name": "fast", "description": "", "selector": ""}


def page(client, name, *args, **query):
    answer = client.get(reverse(name, args=args), query)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def fast(team):
    """A pool of Ana's team with one node and a limit of two GPUs."""
    ready_node("gpu-1", gpus=4, labels={"gpu": "h100"})
    return pool_of("fast", teams=[team], selector={"gpu": "h100"}, gpus=2, shares={"research": 3})


class TestMembers:
    def test_see_the_pools_of_their_teams_with_what_is_taken(self, client_for, eve, team, fast):
        pool_of("vault", selector={"zone": "vault"})
        claimed(team, node="gpu-1", pool="fast", resources={"gpus": 1, "cpus": 2})
        text = page(client_for(eve), "pool_list")

        assert "GPUs: 1 of 2 held" in text
        assert "Processors: 2 of 8 held" in text
        assert "No node carries its labels" in text
        assert "New pool" not in text

    def test_see_who_holds_how_much_and_why_jobs_wait(self, client_for, eve, team, fast):
        claimed(team, node="gpu-1", pool="fast", resources={"gpus": 2})
        submitted(team, title="Held up", pool="fast", resources={"gpus": 1})
        text = page(client_for(eve), "pool_detail", "fast")

        assert "Held up" in text
        assert "The pool fast is at its limit: 2 of 2 GPUs are taken" in text
        assert "100% held" in text
        assert "gpu-1" in text
        for name in ("pool_edit", "pool_delete"):
            assert reverse(name, args=["fast"]) not in text
        assert reverse("node_detail", args=["gpu-1"]) not in text

    def test_learn_of_other_teams_only_how_much(self, client_for, eve, team, other_team, root):
        pool_of("shared", teams=[team, other_team], selector={"zone": "a"}, shares={"legal": 2})
        ready_node("n1", labels={"zone": "a"})
        claimed(other_team, node="n1", pool="shared", title="Secret", resources={"cpus": 4})
        submitted(other_team, pool="shared", title="Secret too", resources={"cpus": 8})
        client = client_for(eve)
        text = page(client, "pool_detail", "shared")

        assert "Other teams" in text and "50% held" in text
        assert "and 1 of another team" in text
        for word in ("Secret", "legal", "Legal"):
            assert word not in text
            assert word not in page(client, "pool_list")
        assert "Legal" in page(client_for(root), "pool_detail", "shared")

    def test_find_nothing_of_what_is_not_theirs(self, client_for, cai, fast):
        urls = [reverse(name, args=["fast"]) for name in ("pool_detail", "pool_edit")]
        posts = [reverse("pool_delete", args=["fast"]), urls[1]]

        assert_hidden(client_for(cai), urls, posts)
        assert "fast" not in page(client_for(cai), "pool_list")

    @pytest.mark.parametrize("who", ["ana", "eve"])
    def test_change_nothing(self, client_for, request, who, fast):
        client = client_for(request.getfixturevalue(who))
        urls = [reverse("pool_new"), reverse("pool_edit", args=["fast"])]

        assert {client.get(url).status_code for url in urls} == {403}
        assert {client.post(url, NEW).status_code for url in urls} == {403}
        assert client.post(reverse("pool_delete", args=["fast"])).status_code == 403
        assert Pool.objects.filter(name="fast", gpus=2).exists()

    def test_of_no_pool_are_told_so(self, client_for, cai, team):
        Pool.objects.all().delete()
        pool_of("fast", teams=[team])

        assert "There is no pool for your teams" in page(client_for(cai), "pool_list")


class TestAdmins:
    def test_make_a_pool_in_units_for_people(self, client_for, root, team, other_team):
        form = {**NEW, "selector": "gpu=h100\nzone=a", "gpus": "4", "memory_mib": "1.5", "cpus": "",
                f"use.{team.pk}": "on", f"share.{team.pk}": "2"}  # fmt: skip
        answer = client_for(root).post(reverse("pool_new"), form)
        pool = Pool.objects.get(name="fast")

        assert answer["Location"] == reverse("pool_detail", args=["fast"])
        assert pool.selector == {"gpu": "h100", "zone": "a"}
        assert (pool.gpus, pool.memory_mib, pool.cpus) == (4, 1536, None)
        assert (list(pool.teams.all()), pool.shares) == ([team], {"research": 2.0})

    def test_find_the_form_filled_in_and_change_it(self, client_for, root, team, fast):
        Pool.objects.filter(pk=fast.pk).update(memory_mib=1536)
        client = client_for(root)
        text = page(client, "pool_edit", "fast")
        assert "gpu=h100" in text and 'value="1.5"' in text and 'value="3"' in text

        client.post(reverse("pool_edit", args=["fast"]), {"selector": "gpu=h100", "gpus": ""})
        fast.refresh_from_db()
        assert (fast.gpus, fast.memory_mib, fast.teams.count(), fast.shares) == (None, None, 0, {})

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": "Bad Name"}, "name"),
            ({"name": ""}, "name"),
            ({"name": "new"}, "name"),
            ({"name": "default"}, "name"),
            ({"selector": "gpu"}, "selector"),
            ({"selector": "gpu=no spaces"}, "selector"),
            ({"gpus": "-1"}, "gpus"),
            ({"gpus": "many"}, "gpus"),
            ({"memory_mib": "-1"}, "memory_mib"),
            ({"memory_mib": "1e300"}, "memory_mib"),
            ({"memory_mib": "1e308"}, "memory_mib"),
            ({"slots": "99999999999"}, "slots"),
        ],
    )
    def test_get_errors_beside_the_field(self, client_for, root, changes, field):
        Pool.objects.get_or_create(name="default", defaults={"is_default": True})
        before = Pool.objects.count()
        answer = client_for(root).post(reverse("pool_new"), {**NEW, **changes})

        assert answer.status_code == 422
        assert f'id="id_{field}_error"' in answer.content.decode()
        assert Pool.objects.count() == before

    def test_get_every_error_at_once(self, client_for, root, team):
        wrong = {"name": "Bad Name", "selector": "gpu\nzone", "gpus": "-1", "slots": "-1"}
        answer = client_for(root).post(reverse("pool_new"), {**NEW, **wrong})
        text = answer.content.decode()

        for field in wrong:
            assert f'id="id_{field}_error"' in text
        assert "“gpu” is no label" in text and "“zone” is no label" in text

    def test_get_an_error_beside_the_weight(self, client_for, root, team):
        form = {**NEW, f"share.{team.pk}": "0"}
        answer = client_for(root).post(reverse("pool_new"), form)

        assert answer.status_code == 422
        assert f'id="id_share.{team.pk}_error"' in answer.content.decode()

    def test_delete_a_pool_that_no_job_names(self, client_for, root, team, fast):
        client, url = client_for(root), reverse("pool_delete", args=["fast"])
        job = submitted(team, pool="fast")
        refused = client.post(url, follow=True)
        assert "their history would be lost" in refused.content.decode()
        Job.objects.filter(pk=job.pk).delete()

        assert client.post(url)["Location"] == reverse("pool_list")
        assert not Pool.objects.filter(name="fast").exists()


def test_many_nodes_are_cut_short_with_what_takes_no_jobs_first(client_for, root, eve, team, fast):
    for number in range(60):
        ready_node(f"n-{number:02}", labels={"gpu": "h100"})
    Node.objects.filter(name="n-59").update(state="cordoned")
    text = page(client_for(root), "pool_detail", "fast")

    assert "and 21 more" in text
    assert text.index("n-59") < text.index("n-00")
    assert "/nodes/?pool=fast" in text
    assert "/nodes/?pool=fast" not in page(client_for(eve), "pool_detail", "fast")


def test_costs_the_same_for_more_waiting_jobs(
    client_for, eve, team, fast, django_assert_max_num_queries
):
    client = client_for(eve)
    for _ in range(15):
        submitted(team, pool="fast", resources={"gpus": 2})
    page(client, "pool_detail", "fast")
    # One for each waiting job: how many are before it.
    with django_assert_max_num_queries(45):
        page(client, "pool_detail", "fast")


def test_nobody_gets_in_without_signing_in(db, fast):
    pages = [reverse("pool_list"), reverse("pool_new"), reverse("pool_detail", args=["fast"])]

    assert_needs_sign_in(pages, [reverse("pool_delete", args=["fast"])])


def test_the_palette_finds_nodes_and_pools_for_who_may_see_them(client_for, root, eve, cai, fast):
    def found(who, query):
        rows = client_for(who).get(reverse("search"), {"q": query}).json()["results"]
        return [row["href"] for row in rows]

    assert found(root, "gpu-") == ["/nodes/gpu-1/"]
    assert found(eve, "gpu-") == []
    assert found(eve, "fas") == ["/pools/fast/"]
    assert found(cai, "fas") == []
    commands = reverse("pool_new"), reverse("node_join_tokens")
    assert all(url in page(client_for(root), "overview") for url in commands)
    assert not any(url in page(client_for(eve), "overview") for url in commands)
