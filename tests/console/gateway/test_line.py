"""Who is next in a line, and who must leave it when it is full."""

from dataclasses import dataclass, field
from time import monotonic

from console.gateway.experience import LONGEST_S, Experience
from console.gateway.line import AGE_S, Line


@dataclass(eq=False)
class Waiter:
    tenant: str = "a"
    user: int = 1
    level: int = 1
    entered: float = field(default_factory=monotonic)


def line_of(*waiters: Waiter) -> Line:
    line = Line()
    for waiter in waiters:
        line.add(waiter)
    return line


def serve(line: Line, number: int, work: float = 10) -> list[Waiter]:
    """The next so many, each with so much work."""
    served = []
    for _ in range(number):
        waiter = next(line.heads())
        line.charge(waiter, work)
        line.remove(waiter)
        served.append(waiter)
    return served


class TestOrder:
    def test_is_first_come_first_served_for_one_person(self):
        waiters = [Waiter() for _ in range(4)]

        assert serve(line_of(*waiters), 4) == waiters

    def test_goes_by_priority(self):
        low, high, normal = Waiter(level=0), Waiter(level=2), Waiter(level=1)

        assert serve(line_of(low, high, normal), 3) == [high, normal, low]

    def test_lets_nobody_wait_for_ever_because_of_priority(self):
        low = Waiter(level=0, entered=monotonic() - 3 * AGE_S)
        line = line_of(low, *(Waiter(level=2) for _ in range(50)))

        assert serve(line, 1) == [low]

    def test_gives_tenants_equal_work_however_much_each_asks_for(self):
        line = line_of(*(Waiter("flood") for _ in range(90)), *(Waiter("calm") for _ in range(10)))

        served = serve(line, 20)

        assert [w.tenant for w in served].count("calm") == 10

    def test_gives_people_of_a_tenant_equal_work(self):
        line = line_of(*(Waiter(user=1) for _ in range(50)), *(Waiter(user=2) for _ in range(5)))

        assert [w.user for w in serve(line, 10)].count(2) == 5

    def test_counts_work_not_requests(self):
        line = line_of(*(Waiter("long") for _ in range(20)), *(Waiter("short") for _ in range(20)))
        served = {"long": 0, "short": 0}
        for _ in range(22):
            waiter = next(line.heads())
            line.charge(waiter, 100 if waiter.tenant == "long" else 10)
            line.remove(waiter)
            served[waiter.tenant] += 1

        assert served["short"] >= 8 * served["long"]

    def test_does_not_punish_who_worked_while_nobody_else_did(self):
        line = line_of()
        for _ in range(1000):
            line.charge(Waiter("early"), 10)
        for _ in range(10):
            line.add(Waiter("early"))
            line.add(Waiter("late"))

        served = serve(line, 10)

        assert 4 <= [w.tenant for w in served].count("early") <= 6


class TestFull:
    def test_makes_room_for_a_higher_priority(self):
        first, last = Waiter(level=0), Waiter(level=0)

        assert line_of(first, last).weakest(Waiter(level=1)) is last

    def test_keeps_who_has_waited_long(self):
        old = Waiter(level=0, entered=monotonic() - 2 * AGE_S)

        assert line_of(old).weakest(Waiter(level=1)) is None

    def test_makes_room_for_a_tenant_with_less_in_line(self):
        flood = [Waiter("flood") for _ in range(5)]

        assert line_of(*flood).weakest(Waiter("calm")) is flood[-1]
        assert line_of(*flood).weakest(Waiter("flood")) is None

    def test_makes_room_for_a_person_with_less_in_line(self):
        flood = [Waiter(user=1) for _ in range(5)]

        assert line_of(*flood).weakest(Waiter(user=2)) is flood[-1]


class TestExperience:
    def test_learns_what_a_byte_and_an_answer_are_worth(self):
        learnt = Experience()
        for _ in range(60):
            learnt.note(1000, 100, 20, 1, 0.5)

        assert 9.5 < learnt.bytes_per_token < 10.5 and 19 < learnt.answer < 25
        assert abs(learnt.work(1000, None, 1) - 30) < 5
        assert learnt.work(1000, 5, 1) < learnt.work(1000, None, 1)
        assert learnt.work(1000, 10_000, 1) == learnt.work(1000, None, 1)

    def test_sends_refused_callers_back_one_after_the_other(self):
        learnt = Experience()
        learnt.note(100, 10, 10, 1, 2.0)

        waits = [learnt.refused(waiting=8, busy=4) for _ in range(200)]

        # Four at once in two seconds: two a second, and eight are ahead.
        assert 4.0 <= waits[0] <= 5.0
        assert waits == sorted(waits) and waits[-1] == LONGEST_S
        assert len(set(waits[:15])) == 15
