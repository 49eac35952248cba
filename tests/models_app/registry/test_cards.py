"""Model cards are generated from what is recorded, and stock clients of the Hub read them."""

import pytest
from huggingface_hub import ModelCard

from models_app.registry.cards import card_text
from models_app.registry.services import card_write
from tests.matrix import assert_hidden, assert_needs_sign_in

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


class TestCard:
    def test_is_read_by_the_stock_client(self, ana, version, evaluated):
        evaluation = evaluated(version)
        card_write(actor=ana, model=version.model, license="apache-2.0", languages=["en", "zh"],
                   tags=["verse"], body="Writes *verse*.")  # fmt: skip

        card = ModelCard(card_text(version))

        assert card.data.license == "apache-2.0"
        assert card.data.language == ["en", "zh"]
        assert card.data.tags == ["slipway", "verse"]
        assert card.data.datasets == ["research/texts"]
        found = {row.metric_type: row for row in card.data.eval_results}
        assert found["perplexity"].metric_value == evaluation.metrics["perplexity"]
        assert found["perplexity"].dataset_type == "research/texts"
        assert found["perplexity"].dataset_split == "validation"
        assert "Writes *verse*." in card.text
        assert "| learning\\_rate | 0.001 |" in card.text
        assert f"| Digest of the files (SHA-256) | {version.digest} |" in card.text

    def test_is_the_same_for_the_same_facts_and_follows_them(self, version, evaluated):
        before = card_text(version)
        assert card_text(version) == before
        assert "has not been evaluated" in before

        evaluated(version)

        assert card_text(version) != before
        assert "has not been evaluated" not in card_text(version)

    def test_cannot_be_broken_out_of_by_names_and_words(self, ana, version):
        version.model.name = "a|b\n---\nlicense: mine"
        card_write(actor=ana, model=version.model, body="---\nlicense: other\n---\n# Hello")

        card = ModelCard(card_text(version))

        assert card.data.license is None


class TestWords:
    def test_are_revisions_with_their_authors(self, ana, ben, model, api_for):
        url, api = f"{V1}/models/{model.pk}/card-texts", api_for(ben)

        api.post(url, {"body": "One", "tags": ["x"]}, format="json")
        api.post(url, {"body": "One", "tags": ["x"]}, format="json")
        api_for(ana).post(url, {"body": "Two"}, format="json")
        rows = api.get(url).json()["results"]

        assert [(row["number"], row["body"], row["author"]) for row in rows] == [
            (2, "Two", ana.email), (1, "One", ben.email),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("given", "field"),
        [({"license": "My own!"}, "license"), ({"languages": ["English"]}, "languages"),
         ({"tags": ["a\nb"]}, "tags"), ({"numbers": 1}, "numbers")],
    )  # fmt: skip
    def test_that_clients_would_not_take_are_refused(self, ben, model, api_for, given, field):
        answer = api_for(ben).post(f"{V1}/models/{model.pk}/card-texts", given, format="json")

        assert answer.status_code == 422
        assert field in answer.json()["errors"]

    def test_and_cards_are_for_the_team(self, eve, cai, version, api_for):
        urls = [f"{V1}/models/{version.model_id}/card-texts",
                f"{V1}/model-versions/{version.pk}/card"]  # fmt: skip

        assert api_for(eve).post(urls[0], {"body": "x"}, format="json").status_code == 403
        answer = api_for(eve).get(urls[1])
        assert answer["Content-Type"].startswith("text/markdown")
        assert_hidden(api_for(cai), urls)
        assert_needs_sign_in(urls)
