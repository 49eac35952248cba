"""How many replicas are decided on, second by second of a time that is made up."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from models_app.configs.specs.serving.scaling import Hours, ScalingSettings
from models_app.deployments.load import Load
from models_app.deployments.scaling import Facts, decide, in_hours

pytestmark = pytest.mark.nodb
START = dt.datetime(2026, 3, 2, 12, 0, tzinfo=dt.UTC)  # a Monday


class Course:
    """A deployment under a load that changes, looked at every two seconds as reconciling does."""

    def __init__(self, current=1, at=START, **settings):
        self.settings = ScalingSettings(**{"max_replicas": 10, "target_requests": 2, **settings})
        self.now, self.current = at, current
        self.over = self.calm = self.up_at = self.down_at = self.request_at = None
        self.changes: list[tuple[float, int, str]] = []

    def run(self, seconds, total=0, **facts):
        """Go on for a while; `total` None: nobody knows."""
        until = self.now + dt.timedelta(seconds=seconds)
        while self.now < until:
            self.now += dt.timedelta(seconds=2)
            if total:
                self.request_at = self.now
            self._look(None if total is None else Load(running=total), facts)
        return self

    def _look(self, load, facts):
        seen = Facts(
            now=self.now, current=self.current, load=load, over_since=self.over,
            calm_since=self.calm, went_up_at=self.up_at, went_down_at=self.down_at,
            last_request_at=self.request_at, **facts,
        )  # fmt: skip
        decision = decide(self.settings, seen)
        assert bool(decision.cause) == (decision.wanted != self.current)
        if decision.wanted > self.current:
            self.up_at = self.now
        if decision.wanted < self.current:
            self.down_at = self.now
        if decision.cause:
            passed = (self.now - START).total_seconds()
            self.changes.append((passed, decision.wanted, decision.cause))
        self.current = decision.wanted
        self.over, self.calm = decision.over_since, decision.calm_since

    @property
    def course(self):
        return [number for _, number, _ in self.changes]

    def reversals(self):
        """When it turned from up to down or back."""
        found, before, way = [], None, 0
        for at, number, _ in self.changes:
            turn = (number > (before or 1)) - (number < (before or 1))
            if way and turn != way:
                found.append(at)
            way, before = turn, number
        return found


def test_a_step_of_load_is_followed_up_by_doubling_and_down_one_by_one():
    course = Course(scale_down_after_s=120)
    course.run(60, total=2).run(120, total=20).run(1200, total=1)
    assert course.course == [2, 4, 8, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    up = [at for at, number, _ in course.changes[:4]]
    assert up[-1] - 60 < 30
    first_down = course.changes[4][0]
    assert first_down >= 60 + 120 + 120
    assert len(course.reversals()) == 1


def test_a_short_peak_starts_nothing():
    course = Course()
    for _ in range(20):
        course.run(2, total=20).run(4, total=1)
    assert course.course == []


@pytest.mark.parametrize(
    ("calm", "high", "seconds"), [(5, 4, 20), (5, 4, 65), (30, 6, 25), (120, 20, 20), (120, 20, 90)]
)
def test_load_that_swings_does_not_make_it_flap(calm, high, seconds):
    course = Course(scale_down_after_s=calm)
    for _ in range(30):
        course.run(seconds, total=high).run(seconds, total=1)
    turns = course.reversals()
    for place in range(len(turns) - 1):
        assert turns[place + 1] - turns[place] >= 60


def test_a_sudden_rush_is_not_kept_waiting_after_going_down():
    course = Course(current=3, scale_down_after_s=5).run(8, total=1)
    assert course.course == [2]
    assert course.run(6, total=20).course == [2, 4]


def test_one_less_has_to_suffice_with_room_to_spare():
    course = Course(current=3, scale_down_after_s=10).run(300, total=4)
    assert course.course == []  # four would fill two replicas to the brim
    course.run(300, total=3)
    assert course.course == [2]


def test_nothing_goes_down_while_a_revision_rolls_out():
    course = Course(current=3, scale_down_after_s=10).run(300, total=0, rolling_out=True)
    assert course.course == []
    course.run(30, total=0)
    assert course.course[0] == 2


def test_the_bounds_hold():
    assert Course(max_replicas=3).run(300, total=500).course == [2, 3]
    assert Course(current=5, max_replicas=3).run(2, total=0).changes[0][1:] == (3, "bounds")
    assert Course(current=1, min_replicas=2).run(2, total=0).changes[0][1:] == (2, "bounds")
    assert Course(current=4, min_replicas=2, scale_down_after_s=5).run(600).course == [3, 2]


def test_unknown_load_changes_nothing():
    course = Course(current=3, min_replicas=0, scale_down_after_s=5, sleep_after_s=5)
    assert course.run(600, total=None).course == []


class TestSleep:
    def test_it_sleeps_when_nobody_has_asked_for_long_enough(self):
        course = Course(min_replicas=0, sleep_after_s=30).run(20, total=1).run(28)
        assert course.course == []
        assert course.run(10).changes[-1][1:] == (0, "idle")

    def test_calls_too_short_to_be_seen_keep_it_awake(self):
        course = Course(min_replicas=0, sleep_after_s=30)
        for _ in range(10):
            course.run(20)
            course.request_at = course.now
        assert course.course == []

    def test_it_does_not_sleep_where_one_has_to_stay(self):
        assert Course(min_replicas=1, sleep_after_s=5).run(600).course == []

    def test_what_sleeps_wakes_when_somebody_waits(self):
        course = Course(current=0, min_replicas=0).run(60)
        assert course.course == []
        assert course.run(2, total=1).changes[0][1:] == (1, "wake")

    def test_the_last_stream_is_waited_for(self):
        course = Course(current=2, min_replicas=0, scale_down_after_s=5, sleep_after_s=10)
        course.run(300, total=1)
        assert course.current == 1


class TestLatency:
    def test_calls_that_wait_too_long_bring_one_more_a_minute(self):
        course = Course(target_first_token_ms=500).run(150, total=1, first_token_ms=900)
        assert course.course == [2, 3, 4]
        assert {cause for *_, cause in course.changes} == {"latency"}

    def test_slow_calls_keep_replicas_that_their_number_would_not(self):
        course = Course(current=3, target_first_token_ms=500, scale_down_after_s=5)
        assert course.run(300, total=1, first_token_ms=400).course == []
        assert course.run(300, total=1, first_token_ms=100).course == [2, 1]

    def test_without_calls_nothing_is_slow(self):
        course = Course(target_first_token_ms=500).run(60, total=0, first_token_ms=900)
        assert course.course == []


class TestHand:
    def test_people_keep_at_least_so_many_for_a_while(self):
        until = START + dt.timedelta(minutes=10)
        course = Course(scale_down_after_s=5, max_replicas=4)
        course.run(590, held_at=3, held_until=until)
        assert [change[1:] for change in course.changes] == [(3, "hand")]
        course.run(60, held_at=3, held_until=until)
        assert course.course == [3, 2, 1]

    def test_more_come_where_the_load_needs_them(self):
        until = START + dt.timedelta(hours=1)
        course = Course(max_replicas=4).run(60, total=8, held_at=2, held_until=until)
        assert course.current == 4


class TestHours:
    office = Hours(days=["mon", "fri"], start="09:00", end="17:30", replicas=3)
    night = Hours(days=["fri"], start="22:00", end="06:00", replicas=2)

    def test_they_raise_the_floor_and_let_it_go(self):
        course = Course(
            at=START.replace(hour=8, minute=59), hours=[self.office], scale_down_after_s=5
        )
        course.run(120)
        assert [change[1:] for change in course.changes] == [(3, "hours")]
        course.run(8 * 3600 + 28 * 60)
        assert course.course == [3]
        course.run(120)
        assert course.course == [3, 2, 1]

    @pytest.mark.parametrize(
        ("day", "clock", "there"),
        [
            (2, "08:59", False), (2, "09:00", True), (2, "17:29", True), (2, "17:30", False),
            (3, "10:00", False), (6, "10:00", True),
        ],
    )  # fmt: skip
    def test_days_and_times(self, day, clock, there):
        hour, minute = map(int, clock.split(":"))
        local = dt.datetime(2026, 3, day, hour, minute, tzinfo=ZoneInfo("Europe/Berlin"))
        assert in_hours(self.office, local) is there

    @pytest.mark.parametrize(
        ("day", "clock", "there"),
        [
            (6, "21:59", False), (6, "22:00", True), (7, "05:59", True), (7, "06:00", False),
            (7, "22:30", False), (6, "05:00", False),
        ],
    )  # fmt: skip
    def test_over_midnight_the_day_is_that_of_the_start(self, day, clock, there):
        hour, minute = map(int, clock.split(":"))
        assert in_hours(self.night, dt.datetime(2026, 3, day, hour, minute)) is there

    def test_the_clock_on_the_wall_counts_in_summer_and_in_winter(self):
        settings = {"hours": [self.office], "timezone": "Europe/Berlin"}
        # Clocks go forward on 29 March: nine o'clock is 08:00 UTC before and 07:00 after.
        for utc, there in (
            (dt.datetime(2026, 3, 27, 7, 30, tzinfo=dt.UTC), 1),
            (dt.datetime(2026, 3, 27, 8, 0, tzinfo=dt.UTC), 3),
            (dt.datetime(2026, 3, 30, 6, 58, tzinfo=dt.UTC), 1),
            (dt.datetime(2026, 3, 30, 7, 0, tzinfo=dt.UTC), 3),
        ):
            assert Course(at=utc, **settings).run(2).current == there

    def test_the_hour_that_comes_twice_counts_twice(self):
        night = Hours(start="02:15", end="02:45", replicas=2)
        settings = {"hours": [night], "timezone": "Europe/Berlin"}
        for hour in (0, 1):  # 02:30 in summer, and an hour later 02:30 in winter
            at = dt.datetime(2026, 10, 25, hour, 30, tzinfo=dt.UTC)
            assert Course(at=at, **settings).run(2).current == 2

    def test_without_days_every_day_and_without_a_difference_all_day(self):
        hours = Hours(start="00:00", end="00:00", replicas=2)
        assert in_hours(hours, dt.datetime(2026, 3, 4, 13, 0))
