"""What programs are told when a server behind the console is away."""

import pytest
from django.db import OperationalError, connection

from tests.factories.jobs import submitted

pytestmark = pytest.mark.django_db


def away(execute, sql, params, many, context):
    """As psycopg raises it when a backend was terminated."""
    if "jobs_job" in sql:
        raise OperationalError("terminating connection due to administrator command")
    return execute(sql, params, many, context)


@pytest.mark.parametrize("path", ["jobs", "jobs/{}"])
def test_a_database_that_is_away_is_told_as_a_wait_not_as_an_error(team, ben, api_for, path):
    client = api_for(ben)
    address = f"/api/v1/{path.format(submitted(team).pk)}"
    with connection.execute_wrapper(away):
        answer = client.get(address)

    assert (answer.status_code, answer.json()["code"]) == (503, "database_away")
    assert answer["Retry-After"] == "5"


def test_a_method_that_is_not_there_is_named_in_the_title(ben, api_for):
    said = api_for(ben).delete("/api/v1/jobs").json()

    assert (said["status"], said["title"]) == (405, 'Method "DELETE" not allowed.')
