"""What a training will take: by formula, corrected by earlier trainings, node by node."""

import math

import pytest

from models_app.core.errors import FieldError, InvalidInput
from models_app.jobs.models import Job
from models_app.pools.models import Node
from models_app.pools.services.registration import node_measured
from models_app.registry.estimates import training_estimate
from models_app.registry.estimates.correction import learned
from models_app.registry.estimates.energy import energy
from models_app.registry.estimates.outcome import EnergyBasis, Fit
from models_app.registry.models import ModelVersion
from tests.factories.nodes import pool_of, ready_node
from tests.factories.speed import SPEED
from tests.workers.jobs.test_train import TINY

V1 = "/api/v1"


class TestLearning:
    pytestmark = pytest.mark.nodb

    def test_nothing_known_changes_nothing_and_allows_for_a_quarter(self):
        found = learned([])
        assert (found.factor, found.count) == (1.0, 0)
        assert found.low == pytest.approx(0.8)
        assert found.high == pytest.approx(1.25)

    def test_one_training_moves_it_a_third_of_the_way(self):
        assert math.log(learned([8.0]).factor) == pytest.approx(math.log(8) / 3)

    def test_many_trainings_move_it_all_the_way(self):
        found = learned([2.0] * 200)
        assert found.factor == pytest.approx(2.0, rel=0.01)
        assert found.high / found.low < 1.15

    def test_one_accident_among_many_moves_nothing(self):
        assert learned([1.5] * 19 + [40.0]).factor == pytest.approx(learned([1.5] * 20).factor)

    def test_the_more_they_differ_the_wider_the_range(self):
        steady, shaky = learned([1.0, 1.01, 0.99] * 5), learned([0.5, 1.0, 2.0] * 5)
        assert shaky.high / shaky.low > 2 * steady.high / steady.low


@pytest.fixture
def estimated(ben, team, data):
    def ask(**changes):
        placing = {name: changes.pop(name) for name in ("pool", "resources") if name in changes}
        return training_estimate(
            actor=ben, team=team, dataset_version=data, spec={**TINY, **changes}, **placing
        )

    return ask


@pytest.fixture
def measured():
    """A ready node whose speed is known."""

    def make(name="n1", **options):
        node = ready_node(name, **options)
        assert node_measured(name=name, incarnation=node.incarnation, speed=SPEED)
        Node.objects.filter(name=name).update(health={"memory_free_mib": 15_000})
        return node

    return make


@pytest.mark.django_db
class TestPlaces:
    def test_an_unmeasured_node_fits_without_a_time(self, estimated):
        ready_node("n1")
        found = estimated()
        assert found.best.node == "n1"
        assert found.seconds is None
        assert found.best.energy is None
        assert "not been measured" in found.best.no_energy

    def test_time_grows_with_steps_batch_and_width(self, estimated, measured):
        measured()
        base = estimated().seconds
        assert base.low < base.likely < base.high
        assert estimated(steps=600).seconds.likely > 10 * base.parts["steps"]
        assert estimated(batch_size=64).seconds.step > 4 * base.step
        assert estimated(preset="gpt2-5m").seconds.step > base.step
        assert base.likely == pytest.approx(sum(base.parts.values()))

    def test_the_faster_node_comes_first_and_the_range_covers_both(self, estimated, measured):
        measured("fast")
        slow = measured("a-slow")
        rates = {name: dict(one) for name, one in SPEED["threads"].items()}
        rates["1"]["products_gflops"] = {"64": 0.01, "1024": 0.01}
        node_measured(
            name="a-slow", incarnation=slow.incarnation, speed={**SPEED, "threads": rates}
        )
        found = estimated()
        assert [place.node for place in found.places] == ["fast", "a-slow"]
        assert found.seconds.likely == found.places[0].seconds.likely
        assert found.seconds.high == found.places[1].seconds.high

    def test_what_is_too_large_says_so_for_each_node(self, estimated, measured):
        measured("large", memory_mib=64_000)
        measured("small", memory_mib=300)
        found = estimated()
        fits = {place.node: place.fit for place in found.places}
        assert fits == {"large": Fit.NOW, "small": Fit.NEVER}
        small = next(place for place in found.places if place.node == "small")
        assert "0.3 GiB of memory" in small.reasons[0]

    def test_memory_that_is_taken_now_makes_it_wait(self, estimated, measured):
        measured()
        assert estimated().best.fit == Fit.NOW
        Node.objects.update(health={"memory_free_mib": 100})
        place = estimated().best
        assert place.fit == Fit.LATER
        assert "0.1 GiB of memory are free" in place.reasons[0]

    def test_labels_and_pools_narrow_it(self, estimated, measured):
        measured("here", labels={"zone": "a"})
        measured("there", labels={"zone": "b"})
        pool_of("zone-b", selector={"zone": "b"})
        assert [place.node for place in estimated(pool="zone-b").places] == ["there"]
        found = estimated(resources={"node_selector": {"zone": "a"}})
        assert found.best.node == "here"
        assert "lacks the labels" in found.places[-1].reasons[0]
        with pytest.raises(FieldError) as refused:
            estimated(pool="nowhere")
        assert set(refused.value.errors) == {"pool"}
        with pytest.raises(InvalidInput) as refused:
            estimated(resources={"cpus": 99})
        assert set(refused.value.errors) == {"resources.cpus"}

    def test_on_a_gpu_its_memory_counts(self, estimated, measured):
        measured(gpus=1)
        place = estimated().best
        assert place.on_gpu
        assert place.memory_total == 80_000 << 20
        assert place.seconds is None  # this node's GPU was never measured

    def test_energy_says_what_it_rests_on(self, estimated, measured):
        node = measured()
        assumed = estimated().best
        assert assumed.energy.basis == EnergyBasis.ASSUMED
        assert assumed.energy.kwh == pytest.approx(12 * assumed.seconds.likely / 3.6e6)
        node_measured(name="n1", incarnation=node.incarnation, speed={**SPEED, "watts": 50.0})
        told = estimated().best.energy
        assert (told.basis, told.watts) == (EnergyBasis.MEASURED, 25.0)

    @pytest.mark.parametrize(
        ("has", "watts", "why"),
        [
            ({"watts_per_core": 7}, 7.0, ""),
            ({"watts_per_core": 0}, None, "SLIPWAY_WATTS_PER_CORE is 0"),
        ],
    )
    def test_energy_goes_by_what_the_operator_says(self, estimated, measured, has, watts, why):
        node = measured()
        Node.objects.update(capacity={**Node.objects.get().capacity, **has})
        place = estimated().best
        assert node.name == place.node
        assert (place.energy.watts if place.energy else None) == watts
        assert why in place.no_energy
        assert not place.energy or place.energy.basis == EnergyBasis.CONFIGURED

    @pytest.mark.parametrize("limit", [None, 300.0])
    def test_energy_of_a_gpu_is_told_only_where_it_tells_its_limit(self, limit):
        gpu = {"name": "a", "memory_mib": 1, **({"watts": limit} if limit else {})}
        node = Node(name="n1", capacity={"cpus": 2, "gpus": [gpu]})

        found = energy(node, 1, 1, 3600.0)

        if limit is None:
            assert "limit of their power" in found
        else:
            assert (found.basis, found.watts) == (EnergyBasis.GPU_LIMIT, 312.0)
            assert found.kwh == pytest.approx(0.312)

    def test_several_processes_share_a_step(self, estimated, measured):
        measured(cpus=8)
        one, two = (estimated(processes=n, batch_size=32).seconds for n in (1, 2))
        assert 0.4 < two.step / one.step < 0.75


@pytest.mark.django_db
class TestServing:
    #: 2 layers, 4 heads of width 16, contexts of 32 tokens.
    SHAPE = {
        "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 128,
    }  # fmt: skip

    def test_tells_the_cache_of_a_context_and_how_many_fit(self, estimated, measured):
        measured(memory_mib=1024)
        shape = {**self.SHAPE, "num_key_value_heads": 1}
        found = estimated(preset="", architecture=shape, sequence_length=32)
        serving = found.plan.need.serving
        assert (serving.context, serving.context_bytes) == (32, 2 * 2 * 1 * 16 * 32 * 4)
        assert serving.weights == 4 * found.plan.need.parameters
        left = (1024 << 20) - serving.weights - serving.overhead
        assert found.best.contexts == left // serving.context_bytes > 1000

    def test_queries_that_share_keys_leave_room_for_more(self, estimated, measured):
        measured()
        one, four = (
            estimated(preset="", architecture={**self.SHAPE, "num_key_value_heads": heads})
            for heads in (1, 4)
        )
        each = [found.plan.need.serving.context_bytes for found in (one, four)]
        assert 4 * each[0] == each[1]
        assert one.best.contexts > 3 * four.best.contexts


@pytest.mark.django_db
class TestHistory:
    @pytest.fixture
    def past(self, trained):
        def make(node="n1"):
            """A training that took a second on the node and next to no memory."""
            version = trained()
            Job.objects.filter(pk=version.produced_by_id).update(node_name=node)
            version.metrics |= {"seconds": 1.0, "peak_memory_bytes": 1}
            version.save(update_fields=["metrics"])
            return version

        return make

    def test_like_trainings_on_the_node_correct_the_next(self, estimated, measured, past):
        version = past()
        version.metrics.pop("peak_memory_bytes")
        version.metrics.pop("seconds")
        version.save(update_fields=["metrics"])
        measured("n1")
        measured("n2")
        before = {place.node: place.seconds.step for place in estimated().places}
        slow, size = before["n1"] * 20, estimated().memory_total
        version.metrics |= {
            "seconds": slow * version.metrics["steps"],
            "peak_memory_bytes": size * 2,
        }
        version.save(update_fields=["metrics"])
        after = {place.node: place for place in estimated().places}
        assert after["n1"].time_correction.count == 1
        assert after["n1"].seconds.step == pytest.approx(before["n1"] * 20 ** (1 / 3), rel=0.2)
        assert after["n1"].memory_correction.factor == pytest.approx(2 ** (1 / 3), rel=0.1)
        assert after["n2"].seconds.step == before["n2"]

    def test_others_teach_nothing(self, estimated, measured, past):
        past()
        measured("n1")
        assert estimated(threads=2).best.time_correction.count == 0
        assert estimated(precision="bf16").best.time_correction.count == 0
        assert estimated(batch_size=512).best.time_correction.count == 0
        assert estimated(processes=2).best.time_correction.count == 0
        assert estimated(batch_size=8).best.time_correction.count == 1
        ModelVersion.objects.update(state="quarantined")
        assert estimated().best.time_correction.count == 0

    def test_a_training_keeps_its_peak(self, trained):
        version = trained()
        assert version.metrics["peak_memory_bytes"] > 100 << 20


@pytest.mark.django_db
class TestApi:
    def test_says_everything_beforehand(self, ben, data, api_for, measured):
        measured()
        body = {"team": "research", "dataset_version": data.pk, "config": TINY}
        found = api_for(ben).post(f"{V1}/training-runs/estimate", body).json()
        assert found["step_flops"] == found["token_flops"] * 4 * 16
        assert found["memory_bytes"] == sum(found["memory"].values())
        assert found["seconds"]["low"] < found["seconds"]["likely"] < found["seconds"]["high"]
        assert found["energy"]["basis"] == "assumed"
        assert found["serving"]["context"] == TINY["sequence_length"]
        assert found["nodes"][0]["contexts"] > 0
        assert [(row["node"], row["fit"]) for row in found["nodes"]] == [("n1", "now")]

    @pytest.mark.parametrize("family", ["ngram", "hmm"])
    def test_counted_families_have_time_and_no_flops(self, ben, data, api_for, measured, family):
        measured()
        body = {"team": "research", "dataset_version": data.pk, "config": {}, "family": family}
        found = api_for(ben).post(f"{V1}/training-runs/estimate", body).json()
        assert (found["step_flops"], found["serving"]) == (None, None)
        assert found["seconds"]["parts"]["counting"] > 0

    def test_a_pool_of_others_is_refused_by_name(self, ben, data, api_for, other_team):
        pool_of("theirs", teams=[other_team])
        body = {
            "team": "research", "dataset_version": data.pk, "config": TINY, "pool": "theirs",
        }  # fmt: skip
        answer = api_for(ben).post(f"{V1}/training-runs/estimate", body)
        assert answer.status_code == 422
        assert set(answer.json()["errors"]) == {"pool"}
