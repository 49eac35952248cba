"""The clock's ticks: each fires once, however many beats and workers there are."""

from django.db import connection

CLAIM = """
INSERT INTO jobs_tick (name, fired_at) VALUES (%s, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET fired_at = clock_timestamp()
 WHERE jobs_tick.fired_at <= clock_timestamp() - make_interval(secs => %s)
RETURNING name
"""
#: A beat that comes a little early is no second one.
EARLY = 0.8


def tick_claim(name: str, every_s: float) -> bool:
    """Whether this tick is ours to do: nobody has done it for about `every_s` seconds."""
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, [name, every_s * EARLY])
        return cursor.fetchone() is not None
