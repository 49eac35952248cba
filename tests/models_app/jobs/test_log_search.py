"""The search looks at the whole log, page by page, and no pattern can hang it."""

import time

import pytest

from models_app.core.errors import InvalidInput
from models_app.jobs import logs
from models_app.jobs.log_compaction import log_compact
from models_app.jobs.log_patterns import certain
from models_app.jobs.log_search import log_search
from models_app.jobs.models import Job
from tests.factories.logs import held_job, lines

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(team) -> Job:
    """Six thousand lines in chunks that have an index and in some that have none."""
    job = held_job(team)
    texts = [f"step {n} loss {n / 7:.4f}" for n in range(1, 6001)]
    texts[4321 - 1] = "The Needle (x1) ÄPFEL 词元"
    for start in range(0, 6000, 2500):
        logs.log_append(job=job, lines=lines(*texts[start : start + 2500]))
    logs.log_append(job=job, lines=lines("out of memory", level="error"))
    logs.log_append(job=job, lines=lines("careful", level="warning"))
    job.refresh_from_db()
    return job


def numbers(job, text="", **options):
    """All hits, following the pages to the end."""
    found, after = [], 0
    while True:
        page = log_search(job=job, text=text, after=after, **options)
        found += [hit[0] for hit in page["hits"]]
        if page["next"] is None:
            assert page["scanned"] == job.log_seq
            return found
        assert page["next"] > after
        after = page["next"]


class TestText:
    @pytest.mark.parametrize(
        "text", ["needle", "NEEDLE", "(x1)", "äpfel", "词元", "eedl", "le (x1) ä"]
    )
    def test_finds_the_one_line_wherever_it_is(self, job, text):
        assert numbers(job, text) == [4321]

    def test_minds_the_case_if_asked(self, job):
        assert numbers(job, "needle", case=True) == []
        assert numbers(job, "Needle", case=True) == [4321]

    @pytest.mark.parametrize("limit", [1, 7, 1000])
    def test_pages_hold_each_hit_once(self, job, limit):
        expected = [n for n in range(1, 6001) if n != 4321 and f"{n / 7:.4f}".endswith("43")]

        assert numbers(job, "43", limit=limit, case=True) == sorted(
            {*expected, *(n for n in range(1, 6001) if n != 4321 and "43" in f"{n} {n / 7:.4f}")}
        )

    def test_a_hit_is_the_line(self, job):
        hit = log_search(job=job, text="out of")["hits"][0]

        assert hit[0] == 6001 and hit[2:] == [1, "job", "error", "out of memory"]

    def test_a_spent_budget_says_how_far_it_came(self, job):
        page = log_search(job=job, text="4", budget_s=0, limit=1000)

        assert 0 < page["scanned"] < 6002
        assert page["next"] == page["scanned"]
        assert numbers(job, "needle", budget_s=0) == [4321]

    def test_gives_the_same_after_chunks_were_joined(self, job):
        before = numbers(job, "19")
        log_compact(job_id=job.pk, ended=True)

        assert numbers(job, "19") == before
        assert numbers(job, "memory") == [6001]


class TestLevels:
    def test_keeps_to_a_level_and_those_above(self, job):
        assert numbers(job, level="warning") == [6001, 6002]
        assert numbers(job, level="error") == [6001]
        assert numbers(job, "careful", level="error") == []


class TestPattern:
    def test_finds_what_matches(self, job):
        assert numbers(job, r"^The\s+n.*\(x\d\)", regex=True) == [4321]
        assert numbers(job, r"^The\s+n", regex=True, case=True) == []
        assert numbers(job, r"^step (10|20)00 ", regex=True) == [1000, 2000]
        assert numbers(job, r"^out|^careful$", regex=True) == [6001, 6002]

    @pytest.mark.parametrize(
        "pattern", [r"(a+)+$", r"(a|a)*b", r"(.*a){12}", r"^(([a-z])+.)+[A-Z]([a-z])+$"]
    )
    def test_no_pattern_hangs_the_search(self, team, pattern):
        job = held_job(team)
        logs.log_append(job=job, lines=lines(*["a" * 16000 + "!"] * 20))
        begun = time.process_time()
        log_search(job=job, text=pattern, regex=True)

        assert time.process_time() - begun < 5

    @pytest.mark.parametrize(
        ("pattern", "words"),
        [
            ("(", "regular expression"),
            (r"(a)\1", "RE2"),
            ("((a{99}){99})", "9801"),
            ("x" * 201, "200"),
        ],
    )
    def test_a_pattern_that_cannot_be_used_is_refused_by_name(self, job, pattern, words):
        with pytest.raises(InvalidInput, match=words) as error:
            log_search(job=job, text=pattern, regex=True)
        assert "q" in error.value.errors

    @pytest.mark.parametrize(
        ("pattern", "words"),
        [
            ("abc.*def", ["abc", "def"]),
            (r"loss=\d+", ["loss="]),
            ("colou?r", ["colo", "r"]),
            ("abc|def", []),
            ("x(abc)?y", ["x", "y"]),
            ("abcd{0,3}", ["abc"]),
            (r"\x41bc", []),
            ("[[:alpha:]abc]", []),
            ("[abc]def", ["def"]),
            (r"a\.b", ["a", "b"]),
        ],
    )
    def test_only_what_every_match_contains_is_asked_of_the_index(self, pattern, words):
        assert certain(pattern).split() == words
