"""Pages of sweeps: begin one by the table or as YAML, look at it, steer it; outsiders see none."""

import pytest

from console.pages.configs.fields import SettingsForm
from models_app.configs.specs import spec_class
from models_app.registry.services import model_create
from models_app.sweeps.models import Sweep
from models_app.sweeps.services import sweep_advance, sweep_start
from tests.factories.data import ready_version
from tests.matrix import assert_hidden, assert_needs_sign_in
from tests.models_app.sweeps.conftest import BASE, HALVING, driven

pytestmark = pytest.mark.django_db
FIXED = {"max_trials": "20", "parallel": "3", "seed": "0", "strategy": "grid", "view": "form"}


@pytest.fixture
def model(ana, team):
    return model_create(actor=ana, team=team, name="poet")


@pytest.fixture
def data(ana, team, tmp_path):
    return ready_version(ana, team, tmp_path)


@pytest.fixture
def sweep(ana, team, model, data):
    return sweep_start(
        actor=ana, team=team, model=model, dataset_version=data, spec=BASE, strategy="grid",
        space={"learning_rate": {"values": [1e-4, 1e-3, 1e-2]},
               "schedule": {"values": ["cosine", "linear"]}},
        halving=HALVING, parallel=6, note="Rates for the poet",
    )  # fmt: skip


def text(answer):
    return answer.content.decode()


def typed(data, *, kind="training", base=BASE, **changes):
    """The form as a browser sends it: every setting fixed, then changes."""
    filled = SettingsForm(spec_class(kind), values={**spec_class(kind).suggested(), **base})
    shown = {f"s-{name}": str(value) for name, value in filled.initial.items() if value != ""}
    shown = {name: value for name, value in shown.items() if value != "False"}
    return {**FIXED, "go": "start", "dataset_version": str(data.pk), **shown, **changes}


class TestStoppedVersion:
    def test_says_that_its_sweep_stopped_it_and_why(self, client_for, ben, sweep):
        driven(sweep)
        trial = sweep.trials.filter(state="stopped", ending="beaten").first()
        client = client_for(ben)

        page = text(client.get(f"/models/research/poet/versions/{trial.version.number}/"))
        listed = text(client.get("/models/research/poet/"))

        assert "Its sweep stopped the training" in page
        assert "Not among the best 1/3 of" in page
        assert f'href="/sweeps/{sweep.pk}/"' in page
        assert "The training failed" not in page
        assert "Stopped by its sweep" in page and "Stopped by its sweep" in listed


class TestBegin:
    def test_leads_from_the_model_to_the_form_and_the_sweep(self, client_for, ben, model, data):
        client = client_for(ben)
        address = f"/sweeps/new/?model={model.pk}"
        assert address in text(client.get("/models/research/poet/"))
        assert "research/poet" in text(client.get("/sweeps/new/"))
        assert "Most trials" in text(client.get(address))

        sent = typed(
            data, **{"m-learning_rate": "range", "low-learning_rate": "1e-4", "stopping": "on",
                     "high-learning_rate": "0.01", "points-learning_rate": "3",
                     "log-learning_rate": "on", "m-schedule": "values",
                     "values-schedule": "cosine, linear", "min_resource": "30",
                     "reduction_factor": "2", "s-learning_rate": ""}
        )  # fmt: skip
        answer = client.post(address, sent)
        sweep = Sweep.objects.get()

        assert answer["Location"] == f"/sweeps/{sweep.pk}/"
        assert sweep.space == {
            "learning_rate": {"low": 0.0001, "high": 0.01, "log": True, "points": 3},
            "schedule": {"values": ["cosine", "linear"]},
        }
        assert (sweep.max_trials, sweep.rungs) == (6, [30, 60])
        assert BASE.items() <= {**sweep.base, "learning_rate": 1e-3}.items()

    def test_mistakes_stand_beside_what_is_wrong(self, client_for, ben, model, data):
        client, address = client_for(ben), f"/sweeps/new/?model={model.pk}"
        wrong = client.post(address, typed(
            data, **{"m-dropout": "range", "low-dropout": "0.5", "high-dropout": "0.1",
                     "points-dropout": "2"}
        ))  # fmt: skip
        many = client.post(address, typed(
            data, **{"m-batch_size": "range", "low-batch_size": "1", "high-batch_size": "40"}
        ))  # fmt: skip
        fixed = client.post(address, typed(
            data, **{"m-seed": "values", "values-seed": "1, 2", "s-warmup_steps": "90"}
        ))  # fmt: skip
        nothing = client.post(address, typed(data))

        assert {a.status_code for a in (wrong, many, fixed, nothing)} == {422}
        assert wrong.context["table"].rows["dropout"].errors[0].startswith("high: The range is")
        assert "40 points" in many.context["form"].errors["max_trials"][0]
        assert "Use fewer than the 90" in fixed.context["table"].form.errors["warmup_steps"][0]
        assert "Say which settings vary" in text(nothing)
        assert not Sweep.objects.exists()

    def test_is_kept_when_it_is_looked_at_as_yaml_and_back(self, client_for, ben, model, data):
        client, address = client_for(ben), f"/sweeps/new/?model={model.pk}"
        sent = typed(data, go="yaml", **{"m-dropout": "values", "values-dropout": "0.0, 0.1"})
        page = client.post(address, sent)
        written = page.context["table"].text
        assert "space:\n  dropout:\n" in written
        assert "steps: 90" in written

        form = {**FIXED, "view": "yaml", "dataset_version": str(data.pk)}
        back = client.post(address, {**form, "go": "form", "yaml": written})
        row = back.context["table"].rows["dropout"]
        assert (row.mode, row.values) == ("values", "0.0, 0.1")
        broken = written.replace("dropout:", "dropuot:")
        refused = client.post(address, {**form, "go": "start", "yaml": broken})
        [said] = refused.context["table"].complaints
        assert (refused.status_code, said.source) == (422, "dropuot:")
        assert "Did you mean dropout?" in said.text
        assert client.post(address, {**form, "go": "start", "yaml": written}).status_code == 302
        assert Sweep.objects.get().space == {"dropout": {"values": [0.0, 0.1]}}

    def test_an_n_gram_model_offers_no_early_stopping(self, client_for, ben, ana, team, data):
        model = model_create(actor=ana, team=team, name="counts", family="ngram")
        client, address = client_for(ben), f"/sweeps/new/?model={model.pk}"
        page = text(client.get(address))
        assert "counted at one go" in page
        assert 'name="stopping"' not in page

        orders = {"m-order": "range", "low-order": "1", "high-order": "3"}
        sent = typed(data, kind="ngram", base={"unit": "char"}, **orders)
        assert client.post(address, sent).status_code == 302
        assert Sweep.objects.get().max_trials == 3


class TestPage:
    def test_shows_trials_pictures_and_why_trials_were_stopped(self, client_for, eve, sweep):
        driven(sweep)
        page = text(client_for(eve).get(f"/sweeps/{sweep.pk}/"))

        assert "Rates for the poet" in page
        assert page.count('<svg class="scatter scatter-small"') == 3
        assert page.count('class="is-best"') == 2
        assert "Not among the best at a rung" in page
        assert "Not among the best 1/3 of 6 at step 10." in page
        assert f"/sweeps/{sweep.pk}/stop/" not in page
        listed = text(client_for(eve).get("/sweeps/?state=done"))
        assert f"Sweep {sweep.pk} · poet" in listed
        assert "No sweep matches" in text(client_for(eve).get("/sweeps/?state=failed"))

    def test_is_steered(self, client_for, ben, eve, sweep):
        client, address = client_for(ben), f"/sweeps/{sweep.pk}/"
        sweep_advance(sweep.pk)
        assert client_for(eve).post(f"{address}stop/").status_code == 403
        for action, state in (("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
            assert client.post(f"{address}{action}/").status_code == 302
            sweep.refresh_from_db()
            assert sweep.state == state
        assert "cannot become" in text(client.post(f"{address}resume/", follow=True))
        assert client.post(f"{address}burn/").status_code == 404

    def test_is_hidden_from_outsiders(self, client_for, cai, sweep):
        client, address = client_for(cai), f"/sweeps/{sweep.pk}/"
        posts = [f"{address}{action}/" for action in ("pause", "resume", "stop")]
        assert_hidden(client, [address, f"/sweeps/new/?model={sweep.model_id}"], posts)
        assert "poet" not in text(client.get("/sweeps/"))
        assert_needs_sign_in(["/sweeps/", "/sweeps/new/", address], posts)
