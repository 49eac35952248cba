"""The kind `alerts`: documents, what is refused and where, one set of signals in both places."""

import pytest

from models_app.alerts.measuring import MEASURED
from models_app.configs.documents import document_read, spec_yaml
from models_app.configs.schemas import spec_schema
from models_app.configs.specs import AlertsSpec
from models_app.configs.specs.alerts import SIGNALS, Rule
from models_app.configs.yaml_text import YamlError
from models_app.core.errors import InvalidInput
from models_app.core.validation import parse
from tests.factories.alerts import rule


def test_every_signal_is_described_and_measured():
    listed = Rule.model_json_schema()["properties"]["signal"]["enum"]

    help_text = AlertsSpec.model_fields["rules"].description
    assert all(name in help_text for name in listed)
    assert set(listed) == set(SIGNALS) == set(MEASURED)


@pytest.mark.parametrize(
    ("wrong", "path", "said"),
    [
        ({"for_seconds": -1}, "spec.rules.1.for_seconds", "greater than or equal to 0"),
        ({"name": "Not a slug"}, "spec.rules.1.name", "lower-case"),
        ({"name": "wait"}, "spec.rules.1.name", "this name already"),
        ({"signal": "moon_phase"}, "spec.rules.1.signal", "queue_wait_seconds"),
        ({"below": 3}, "spec.rules.1.above", "exactly one"),
        ({"above": None}, "spec.rules.1.above", "exactly one"),
        ({"deployment": "writer"}, "spec.rules.1.deployment", "cannot be narrowed"),
        ({"minutes": 5}, "spec.rules.1.minutes", "does not look back"),
        ({"severity": "loud"}, "spec.rules.1.severity", "critical"),
        ({"treshold": 3}, "spec.rules.1.treshold", "no such field"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(wrong, path, said):
    with pytest.raises(InvalidInput) as caught:
        parse(AlertsSpec, {"rules": [rule(), rule(**{"name": "other", **wrong})]}, "spec")

    assert list(caught.value.errors) == [path]
    assert said in caught.value.errors[path][0]


def test_a_text_names_the_line():
    text = spec_yaml("alerts", {"rules": [rule(), rule("other", for_seconds=-1)]})

    with pytest.raises(YamlError) as caught:
        document_read("alerts", text)

    line = text.splitlines().index("    for_seconds: -1") + 1
    assert caught.value.lines == {"yaml.rules.1.for_seconds": line}


def test_what_a_new_one_begins_with_is_short_and_comes_back_the_same():
    plain = parse(AlertsSpec, AlertsSpec.suggested()).plain()
    text = spec_yaml("alerts", plain)

    assert document_read("alerts", text).plain() == plain
    assert "null" not in text
    assert "above: 900\n" in text
    assert len(plain["rules"]) >= 6


def test_the_schema_describes_the_rules():
    item = spec_schema("alerts", "x")["properties"]["rules"]["items"]

    assert set(item["required"]) == {"name", "signal"}
    assert item["properties"]["severity"]["enum"] == ["info", "warning", "critical"]


@pytest.mark.django_db
def test_the_api_checks_warns_and_stores(api_for, ana, team):
    api = api_for(ana)
    spec = {"rules": [rule(pool="nowhere")]}

    checked = api.post("/api/v1/configs/validate", {"kind": "alerts", "spec": spec}, format="json")
    body = {"team": team.slug, "kind": "alerts", "name": "watch", "spec": spec}
    stored = api.post("/api/v1/configs", body, format="json")
    wrong = {**body, "spec": {"rules": [rule(for_seconds="soon")]}}
    refused = api.post("/api/v1/configs", wrong, format="json")

    assert "no such pool" in checked.json()["warnings"]["spec.rules.0.pool"]
    assert stored.status_code == 201
    assert refused.status_code == 422
    assert "spec.rules.0.for_seconds" in refused.json()["errors"]
