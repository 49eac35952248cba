"""Where replicas are placed: in their pool, apart from each other, near their files."""

import itertools

import pytest

from models_app.core.errors import InvalidInput
from models_app.deployments.reconcile import reconcile_all, reconcile_deployment
from models_app.deployments.services import deployment_scale
from models_app.deployments.states import ReplicaState
from models_app.jobs.models import Job
from models_app.jobs.placement import place_jobs
from models_app.jobs.waiting import why_waiting
from models_app.pools.caches import cache_report, nodes_holding
from models_app.pools.models import Node, Pool
from tests.factories.deployments import (
    deployment_of,
    live,
    make_ready,
    ready_version,
    revision_of,
    serving,
)
from tests.factories.nodes import pool_of, ready_node

pytestmark = pytest.mark.django_db
_prefixes = itertools.count()


@pytest.fixture(autouse=True)
def nobody_else(settings, tmp_path):
    settings.CHANNEL_PREFIX = f"{settings.CHANNEL_PREFIX}-placing-{next(_prefixes)}"
    settings.DATA_DIR = tmp_path


def joined(name, **options):
    """A node that has not got the console's disk."""
    node = ready_node(name, **options)
    Node.objects.filter(pk=node.pk).update(shares_store=False)
    return node


def started(deployment):
    """The jobs of its replicas, placed."""
    reconcile_deployment(deployment.pk)
    place_jobs()
    return [Job.objects.get(pk=replica.job_id) for replica in live(deployment)]


def digests(version):
    return [entry["sha256"] for entry in version.manifest.values()]


class TestLocality:
    def test_a_node_that_has_the_files_is_preferred_and_it_is_said(self, ana, team, caplog):
        caplog.set_level("INFO", logger="models_app.jobs.suitability")
        joined("cold")
        joined("warm")
        joined("icy")
        version = ready_version(team)
        cache_report("warm", digests(version))
        cache_report("icy", ["0" * 64])
        deployment = deployment_of(ana, team)
        revision_of(ana, deployment, version=version)
        (job,) = started(deployment)
        assert job.node_name == "warm"
        assert job.placement == {
            "decided_by": "locality", "of": 3,
            "locality": {"bytes": version.size_bytes, "of_bytes": version.size_bytes},
        }  # fmt: skip
        assert "locality" in caplog.text

    def test_nodes_on_the_consoles_disk_have_everything(self, ana, team):
        joined("away")
        ready_node("zz-here")
        deployment = deployment_of(ana, team)
        revision_of(ana, deployment)
        (job,) = started(deployment)
        assert job.node_name == "zz-here"
        assert job.placement["decided_by"] == "locality"

    def test_a_node_that_is_not_heard_of_is_cold(self, ana, team):
        assert nodes_holding(["nobody"], ["0" * 64]) == {"nobody": set()}
        cache_report("one", ["0" * 64])
        cache_report("one", [])
        assert nodes_holding(["one"], ["0" * 64]) == {"one": set()}


class TestSpread:
    def test_replicas_of_a_deployment_keep_apart(self, ana, team):
        for name in ("n1", "n2", "n3"):
            ready_node(name)
        deployment = deployment_of(ana, team)
        revision_of(ana, deployment, replicas=3)
        jobs = started(deployment)
        assert {job.node_name for job in jobs} == {"n1", "n2", "n3"}
        assert [job.placement["crowd"] for job in jobs[1:]] == [0, 0]
        assert jobs[2].placement["decided_by"] == "spread"

    def test_a_new_revision_keeps_apart_wherever_the_old_one_is(self, ana, team):
        ready_node("node-1")
        deployment = serving(ana, team, replicas=2)
        assert {replica.job.node_name for replica in live(deployment)} == {"node-1"}
        ready_node("node-2")
        revision_of(ana, deployment, replicas=2)
        jobs = started(deployment)[2:]
        assert {job.node_name for job in jobs} == {"node-1", "node-2"}

    def test_they_share_a_node_where_there_is_no_other(self, ana, team):
        ready_node("n1")
        deployment = deployment_of(ana, team)
        revision_of(ana, deployment, replicas=2)
        assert [job.node_name for job in started(deployment)] == ["n1", "n1"]

    def test_apart_comes_before_near_the_files(self, ana, team):
        joined("warm")
        joined("cold")
        version = ready_version(team)
        cache_report("warm", digests(version))
        deployment = deployment_of(ana, team)
        revision_of(ana, deployment, version=version, replicas=2)
        assert [job.node_name for job in started(deployment)] == ["warm", "cold"]


class TestPools:
    @pytest.fixture
    def fast(self, team):
        ready_node("slow-1")
        ready_node("fast-1", labels={"tier": "fast"}, cpus=4)
        return pool_of("fast", teams=[team], selector={"tier": "fast"})

    def test_replicas_run_in_the_pool_that_is_named_and_hold_what_they_use(self, ana, team, fast):
        deployment = deployment_of(ana, team)
        revision_of(ana, deployment, pool="fast", threads=2)
        (job,) = started(deployment)
        assert (job.pool.name, job.node_name, job.cpus) == ("fast", "fast-1", 2)
        assert job.memory_mib > 500

    def test_what_does_not_fit_waits_and_does_not_spill_over(self, ana, team, fast):
        deployment = deployment_of(ana, team)
        revision_of(ana, deployment, pool="fast", threads=2, replicas=3)
        jobs = started(deployment)
        assert sorted(job.node_name for job in jobs) == ["", "fast-1", "fast-1"]
        (waits,) = [job for job in jobs if not job.node_name]
        assert "only 0 processors are free" in why_waiting(job=waits)

    def test_without_a_pool_only_a_slot_is_asked_for(self, ana, team):
        ready_node("n1", cpus=2)
        deployment = deployment_of(ana, team)
        revision_of(ana, deployment, threads=2, replicas=3)
        jobs = started(deployment)
        assert [(job.node_name, job.cpus, job.memory_mib) for job in jobs] == [("n1", 0, 0)] * 3

    @pytest.mark.parametrize(
        ("spec", "path", "words"),
        [
            ({"pool": "nowhere"}, "spec.pool", "no pool “nowhere”"),
            ({"pool": "theirs"}, "spec.pool", "no pool “theirs”"),
            ({"pool": "fast", "threads": 64}, "spec.threads", "at most 4 processors"),
        ],
    )
    def test_a_pool_that_cannot_take_it_is_refused(
        self, ana, team, other_team, fast, spec, path, words
    ):
        pool_of("theirs", teams=[other_team])
        deployment = deployment_of(ana, team)
        with pytest.raises(InvalidInput) as refused:
            revision_of(ana, deployment, **spec)
        assert words in refused.value.errors[path][0]

    def test_a_pool_that_is_gone_ends_the_roll_out_and_not_the_round(self, ana, team, fast):
        deployment = deployment_of(ana, team)
        revision = revision_of(ana, deployment, pool="fast")
        Pool.objects.filter(name="fast").update(name="renamed")
        reconcile_all()
        revision.refresh_from_db()
        assert revision.state == "failed"
        assert "no pool “fast”" in revision.error

    def test_an_active_one_goes_on_with_what_it_has(self, ana, team, fast):
        deployment = serving(ana, team, pool="fast", max_replicas=3)
        Pool.objects.filter(name="fast").update(name="renamed")
        deployment_scale(actor=ana, deployment=deployment, replicas=2)
        reconcile_all()
        assert [replica.state for replica in live(deployment)] == [ReplicaState.READY]
        Pool.objects.filter(name="renamed").update(name="fast")
        reconcile_all()
        make_ready(live(deployment)[1], node="fast-1")
        assert len(live(deployment)) == 2
