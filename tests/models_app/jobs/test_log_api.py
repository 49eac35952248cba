"""The API of a log: search, download and pages, as programs use them."""

import gzip

import pytest

from models_app.jobs import logs
from models_app.jobs.models import Job, LogChunk
from tests.factories.logs import held_job, lines

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(team):
    job = held_job(team)
    for start in range(1, 3001, 1000):
        texts = [f"line {n}" for n in range(start, start + 1000)]
        logs.log_append(job=job, lines=lines(*texts))
    logs.log_append(job=job, lines=lines("out of memory", level="error"))
    return job


@pytest.fixture
def api(api_for, ben):
    return api_for(ben)


def url(job, path):
    return f"/api/v1/jobs/{job.pk}/{path}"


class TestSearch:
    def test_gives_hits_and_how_far_it_came(self, api, job):
        found = api.get(url(job, "log/search"), {"q": "LINE 299", "limit": 5}).json()

        assert [hit[0] for hit in found["hits"]] == [299, 2990, 2991, 2992, 2993]
        assert found["next"] == found["scanned"] == 2993
        rest = api.get(url(job, "log/search"), {"q": "LINE 299", "after": 2993}).json()
        assert [hit[0] for hit in rest["hits"]] == list(range(2994, 3000))
        assert (rest["next"], rest["scanned"], rest["last_seq"]) == (None, 3001, 3001)

    def test_minds_pattern_case_and_level(self, api, job):
        def hits(**query):
            found = api.get(url(job, "log/search"), query).json()["hits"]
            return [hit[0] for hit in found]

        assert hits(q="^line 1[12]$", regex=1) == [11, 12]
        assert hits(q="Line 11", case=1) == []
        assert hits(level="error") == [3001]

    @pytest.mark.parametrize(
        "query",
        [{"q": "(", "regex": 1}, {"q": "x" * 201}, {"q": "a", "level": "loud"},
         {"q": "a", "after": -1}, {"q": "a", "limit": 1001}, {"q": "a", "regex": "perhaps"}],
    )  # fmt: skip
    def test_wrong_input_names_its_field(self, api, job, query):
        answer = api.get(url(job, "log/search"), query)

        assert answer.status_code == 422
        assert set(answer.json()["errors"]) <= set(query)

    def test_is_for_those_who_may_see_the_job(self, api_for, cai, job):
        assert api_for(cai).get(url(job, "log/search"), {"q": "a"}).status_code == 404


class TestDownload:
    def test_is_the_whole_log_or_from_a_number_on(self, api, job):
        whole = b"".join(api.get(url(job, "log.txt")).streaming_content).decode()
        rest = b"".join(api.get(url(job, "log.txt"), {"after": 2999}).streaming_content).decode()

        assert whole.count("\n") == 3001
        assert [line.split(maxsplit=2)[2] for line in rest.splitlines()] == [
            "line 3000", "out of memory",
        ]  # fmt: skip

    def test_is_packed_if_asked(self, api, job):
        answer = api.get(url(job, "log.txt"), {"gzip": 1})
        text = gzip.decompress(b"".join(answer.streaming_content)).decode()

        assert answer["Content-Disposition"].endswith(f'"job-{job.pk}.log.gz"')
        assert text.count("\n") == 3001

    def test_holds_a_chunk_at_a_time(self, api, job):
        parts = list(api.get(url(job, "log.txt")).streaming_content)

        assert len(parts) == 4


class TestPage:
    def test_says_from_where_on_lines_are_kept(self, api, job):
        LogChunk.objects.filter(job=job, last_seq__lte=1000).delete()
        Job.objects.filter(pk=job.pk).update(log_first=1001)
        page = api.get(url(job, "logs"), {"limit": 2}).json()

        assert [line[0] for line in page["lines"]] == [1001, 1002]
        assert (page["first_seq"], page["last_seq"], page["closed"]) == (1001, 3001, False)
