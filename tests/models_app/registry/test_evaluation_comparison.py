"""Evaluations held against each other: figures, refusals, and who may see them."""

import pytest

from models_app.datasets.models import DatasetVersion
from models_app.registry import evaluation_comparison
from models_app.registry.services import version_quarantine
from models_app.registry.states import Family
from tests.factories.data import ready_version as ready_data
from tests.factories.deployments import ready_version
from tests.factories.evaluations import evaluation_of, of_answers, of_bits

pytestmark = pytest.mark.django_db
URL = "/api/v1/evaluations/compare"


@pytest.fixture
def data(ana, team, tmp_path):
    return ready_data(ana, team, tmp_path)


@pytest.fixture
def three(team, data):
    """A transformer, an n-gram model that is worse, and a hidden Markov model near the first."""
    first = ready_version(team, name="poet")
    second, third = ready_version(team, name="counter"), ready_version(team, name="hider")
    for version, family in ((second, Family.NGRAM), (third, Family.HMM)):
        version.model.family = family
        version.model.save()
    bits = [2.0 + n % 5 / 10 for n in range(40)]
    return [
        of_bits(first, data, bits),
        of_bits(second, data, [n + 0.5 + place % 3 / 10 for place, n in enumerate(bits)]),
        of_bits(third, data, [n + (0.2 if p % 2 else -0.2) for p, n in enumerate(bits)]),
    ]


def ask(api, evaluations, more=""):
    return api.get(f"{URL}?{'&'.join(f'e={row.pk}' for row in evaluations)}{more}")


class TestFigures:
    def test_each_is_held_against_the_first(self, ben, three, api_for):
        found = ask(api_for(ben), three).json()

        base, worse, near = found["evaluations"]
        assert (found["baseline"], found["measure"]) == (three[0].pk, "bits_per_byte")
        assert found["documents"] == 40
        assert [row["family"] for row in found["evaluations"]] == ["transformer", "ngram", "hmm"]
        assert base["value"] == pytest.approx(2.2)
        assert base["difference"] is None
        assert worse["value"] == pytest.approx(2.2 + 0.5 + 0.0975)
        assert worse["difference"]["value"] == pytest.approx(0.5975)
        low, high = worse["difference"]["interval"]
        assert 0.5 < low < 0.5975 < high < 0.7
        assert worse["difference"]["verdict"] == "worse"
        assert [worse["difference"][name] for name in ("won", "lost", "tied")] == [0, 40, 0]
        assert near["difference"]["verdict"] == "unclear"
        assert [near["difference"][name] for name in ("won", "lost", "tied")] == [20, 20, 0]

    def test_the_width_of_a_difference_is_that_of_pairs(self, ben, three, api_for):
        """Of unpaired documents the interval would be wider than the spread within each."""
        _base, worse, _near = ask(api_for(ben), three).json()["evaluations"]

        own, apart = worse["interval"], worse["difference"]["interval"]
        assert apart[1] - apart[0] < 0.7 * (own[1] - own[0])

    def test_another_baseline_turns_the_verdict_around(self, ben, three, api_for):
        found = ask(api_for(ben), three, f"&baseline={three[1].pk}").json()

        assert found["evaluations"][0]["difference"]["verdict"] == "better"
        assert found["evaluations"][1]["difference"] is None

    def test_documents_that_differ_most_are_named(self, ben, team, data, api_for):
        one, two = ready_version(team, name="a"), ready_version(team, name="b")
        base = of_bits(one, data, [2.0] * 8)
        other = of_bits(two, data, [2.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.5, 2.0])

        found = ask(api_for(ben), [base, other]).json()["evaluations"][1]["difference"]

        named = [(row["document"], round(row["difference"], 6)) for row in found["documents"]]
        assert named == [(2, -1.0), (6, -0.5), (4, 2.0)]
        assert (found["won"], found["lost"], found["tied"]) == (2, 1, 5)

    def test_only_documents_that_all_have_count(self, ben, team, data, api_for):
        one, two = ready_version(team, name="a"), ready_version(team, name="b")
        whole = of_bits(one, data, [2.0, 3.0, 9.0, 9.0])
        part = of_bits(two, data, [2.0, 2.0])

        found = ask(api_for(ben), [whole, part]).json()

        assert found["documents"] == 2
        assert [row["value"] for row in found["evaluations"]] == pytest.approx([2.5, 2.0])

    def test_what_lost_a_part_of_the_text_has_no_difference(self, ben, three, team, data, api_for):
        deaf = of_bits(ready_version(team, name="deaf"), data, [1.0] * 40, unknown_tokens=1234)
        loose = of_bits(ready_version(team, name="loose"), data, [1.0] * 40, lossless=False)

        rows = ask(api_for(ben), [three[0], deaf, loose]).json()["evaluations"]

        assert [row["comparable"] for row in rows] == [True, False, False]
        assert rows[1]["difference"] is None
        assert "could not read 1,234 tokens" in rows[1]["reason"]
        assert "lose a part of the text" in rows[2]["reason"]

    def test_without_a_fit_baseline_nothing_is_held_against_it(
        self, ben, three, team, data, api_for
    ):
        loose = of_bits(ready_version(team, name="loose"), data, [1.0] * 40, lossless=False)

        own = ask(api_for(ben), [loose, *three]).json()
        found = ask(api_for(ben), [loose, *three], f"&baseline={loose.pk}").json()

        assert (own["baseline"], own["baseline_reason"]) == (three[0].pk, "")
        assert "lose a part" in found["baseline_reason"]
        assert [row["difference"] for row in found["evaluations"]] == [None] * 4
        assert found["evaluations"][1]["value"] == pytest.approx(2.2)

    def test_answers_are_compared_by_accuracy(self, ben, team, data, api_for):
        one, two = ready_version(team, name="a"), ready_version(team, name="b")
        base = of_answers(one, data, [1, 0, 0, 0] * 10)
        better = of_answers(two, data, [1, 1, 1, 0] * 10)

        found = ask(api_for(ben), [base, better]).json()

        assert (found["measure"], found["less_is_better"]) == ("accuracy", False)
        difference = found["evaluations"][1]["difference"]
        assert difference["value"] == pytest.approx(0.5)
        assert (difference["verdict"], difference["won"], difference["tied"]) == ("better", 20, 20)


class TestRefusals:
    @pytest.mark.parametrize("count", [0, 1, 9])
    def test_two_to_eight_are_compared(self, ben, team, data, api_for, count):
        version = ready_version(team)
        rows = [of_bits(version, data, [1.0]) for _ in range(count)]

        answer = ask(api_for(ben), rows)

        assert answer.status_code == 422
        assert f"{count} are chosen" in answer.json()["errors"]["e"][0]

    def test_one_that_is_named_twice_is_one(self, ben, three, api_for):
        answer = ask(api_for(ben), [three[0], three[0]])

        assert "1 are chosen" in answer.json()["errors"]["e"][0]

    def test_other_data_is_named(self, ben, ana, team, three, tmp_path, api_for):
        other: DatasetVersion = ready_data(ana, team, tmp_path, name="letters")
        foreign = of_bits(ready_version(team), other, [2.0] * 40)

        answer = ask(api_for(ben), [three[0], foreign])

        assert answer.status_code == 422
        assert f"(#{foreign.pk}) is of other data" in answer.json()["errors"]["e"][0]

    def test_another_split_is_named(self, ben, team, data, three, api_for):
        trained = of_bits(ready_version(team), data, [2.0] * 40, split="train")

        answer = ask(api_for(ben), [three[0], trained])

        assert "of the split train" in answer.json()["errors"]["e"][0]

    def test_another_task_and_another_way_of_asking_are_named(self, ben, team, data, api_for):
        version = ready_version(team)
        answers = of_answers(version, data, [1, 0])
        longer = of_answers(version, data, [1, 0], max_tokens=64)
        text = of_bits(version, data, [1.0, 1.0])

        task = ask(api_for(ben), [answers, text]).json()["errors"]["e"][0]
        settings = ask(api_for(ben), [answers, longer]).json()["errors"]["e"][0]

        assert "Perplexity of text" in task
        assert "max_tokens 64" in settings

    def test_documents_must_be_shared(self, ben, team, data, api_for):
        version = ready_version(team)
        one = of_bits(version, data, [1.0])
        rows = [{"document": 7, "tokens": 1, "bytes": 1, "nats": 1.0}]
        apart = evaluation_of(version, data, rows)

        answer = ask(api_for(ben), [one, apart])

        assert "No document was scored in all" in answer.json()["errors"]["e"][0]

    @pytest.mark.parametrize(
        ("more", "field"), [("&baseline=1", "baseline"), ("&measure=bleu", "measure"),
                            ("&e=x", "e"), ("&baseline=-1", "baseline")],
    )  # fmt: skip
    def test_what_cannot_be_meant_is_named(self, ben, three, api_for, more, field):
        answer = ask(api_for(ben), three, more.replace("=1", "=99999999"))

        assert answer.status_code == 422
        assert field in answer.json()["errors"]

    def test_more_scores_than_a_page_can_wait_for_are_refused(
        self, ben, team, data, api_for, monkeypatch
    ):
        monkeypatch.setattr(evaluation_comparison, "MOST_ROWS", 5)
        rows = [of_bits(ready_version(team), data, [1.0, 2.0, 3.0]) for _ in range(2)]

        answer = ask(api_for(ben), rows)

        assert "6 scores together, more than 5" in answer.json()["errors"]["e"][0]

    def test_outsiders_find_none_of_them(self, cai, three, api_for, client_for):
        query = "&".join(f"e={row.pk}" for row in three)

        assert ask(api_for(cai), three).status_code == 404
        assert client_for(cai).get(f"/evaluations/compare/?{query}").status_code == 404


class TestPages:
    def test_the_list_is_of_my_teams_and_narrowed_down(self, ben, cai, three, client_for):
        page = client_for(ben).get("/evaluations/").content.decode()
        narrowed = client_for(ben).get("/evaluations/?family=hmm").content.decode()
        nonsense = client_for(ben).get("/evaluations/?dataset=x&task=y")
        foreign = client_for(cai).get("/evaluations/").content.decode()

        assert all(f"{name} v1" in page for name in ("poet", "counter", "hider"))
        assert "hider v1" in narrowed
        assert "poet v1" not in narrowed
        assert nonsense.status_code == 200
        assert "No evaluations yet" in foreign

    def test_documents_that_differ_are_shown_with_their_text(
        self, ben, team, data, three, client_for
    ):
        query = "&".join(f"e={row.pk}" for row in three[:2])

        page = client_for(ben).get(f"/evaluations/compare/?{query}").content.decode()

        assert "counter v1 against poet v1" in page
        assert "wizards" in page

    def test_a_quarantined_version_says_so(self, ana, three, client_for):
        version_quarantine(actor=ana, version=three[1].version, reason="Leaks")
        query = "&".join(f"e={row.pk}" for row in three[:2])

        page = client_for(ana).get(f"/evaluations/compare/?{query}").content.decode()

        assert "Quarantined" in page

    def test_what_cannot_stand_side_by_side_says_why(self, ben, three, client_for):
        answer = client_for(ben).get(f"/evaluations/compare/?e={three[0].pk}")

        assert answer.status_code == 422
        assert "1 are chosen" in answer.content.decode()

    def test_one_shows_its_intervals(self, ben, team, data, client_for):
        """Every draw of equal documents gives the same figure."""
        alike = of_bits(ready_version(team), data, [2.0] * 9, nats_per_token=3.0)

        page = client_for(ben).get(f"/evaluations/{alike.pk}/").content.decode()

        assert "2.0000 to 2.0000" in page
        assert "32.0000 to 32.0000" in page  # e to the power of 20 ln 2 nats by 4 tokens


class TestDownload:
    def test_scores_come_as_csv(self, ben, cai, three, api_for):
        url = f"/api/v1/evaluations/{three[0].pk}/scores.csv"

        answer = api_for(ben).get(url)
        lines = b"".join(answer.streaming_content).decode().splitlines()

        assert answer["Content-Type"].startswith("text/csv")
        assert lines[0] == "document,tokens,bytes,nats"
        assert len(lines) == 41
        assert api_for(cai).get(url).status_code == 404

    def test_no_answer_of_a_model_becomes_a_formula(self, ben, team, data, api_for):
        rows = [{"correct": 0, "tokens": 3, "answer": "=1+1"}]
        evaluation = evaluation_of(ready_version(team), data, rows, task="exact_match")

        answer = api_for(ben).get(f"/api/v1/evaluations/{evaluation.pk}/scores.csv")

        assert "0,0,3,'=1+1" in b"".join(answer.streaming_content).decode()
