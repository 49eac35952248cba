"""Who gets which revision during a roll-out: always the same people, and only more of them."""

import pytest

from console.gateway.routes import Routes


def arm_row(revision_id: int, percent: float = 0, **more):
    """An arm as the table of routes has it."""
    return {
        "revision_id": revision_id,
        "digest": f"{revision_id:064d}",
        "fingerprint": f"{revision_id:012d}",
        "version": f"research/tiny:v{revision_id}",
        "family": "gpt",
        "percent": percent,
        "mirror_percent": 0,
        "settings": {},
        "adapters": [],
        "replicas": [],
        **more,
    }


def route(*arms, deployment_id: int = 1):
    """A route as a process has it after it has read the table."""
    routes = Routes()
    row = {"name": "research/chat", "team_id": 1, "created": 1, "asleep": False}
    routes.apply([{**row, "deployment_id": deployment_id, "arms": list(arms)}])
    return routes.by_name["research/chat"]


def split(percent: float, candidate: int = 8, deployment_id: int = 1):
    """Everybody's revision while the candidate has this share."""
    found = route(
        arm_row(7, 100 - percent), arm_row(candidate, percent), deployment_id=deployment_id
    )
    return [found.share(f"{person}:").revision_id for person in range(10_000)]


class TestShares:
    @pytest.mark.parametrize("percent", [0, 0.5, 5, 50, 100])
    def test_are_what_was_asked_for(self, percent):
        got = split(percent).count(8) / 100

        # Three standard deviations of 10,000 throws.
        assert abs(got - percent) <= 3 * (percent * (100 - percent) / 10_000) ** 0.5

    def test_are_the_same_in_every_process_and_after_every_restart(self):
        """Written down: these people have met the candidate, whoever computes it again."""
        tried = [person for person, side in enumerate(split(5)) if side == 8]

        assert tried[:8] == [62, 70, 71, 90, 118, 121, 163, 168]

    def test_only_add_people_when_they_grow(self):
        before = {person for person, side in enumerate(split(5)) if side == 8}
        after = {person for person, side in enumerate(split(25)) if side == 8}

        assert before < after

    def test_do_not_always_try_the_new_on_the_same_people(self):
        first = {person for person, side in enumerate(split(10)) if side == 8}
        other = {person for person, side in enumerate(split(10, candidate=9)) if side == 9}

        assert len(first & other) < len(first) / 3


class TestNames:
    def test_lead_to_deployments_adapters_and_versions(self):
        routes = Routes()
        row = {"team_id": 1, "created": 1, "asleep": False, "deployment_id": 1}
        active = arm_row(7, 100, adapters=["legal"])
        routes.apply([{**row, "name": "research/chat", "arms": [active]}])
        found = routes.by_name["research/chat"]

        assert routes.find("research/chat") == (found, "")
        assert routes.find("research/chat:legal") == (found, "legal")
        assert routes.find("research/tiny:v7") == (found, "")
        assert routes.find("research/chat:medical") is None
        assert routes.find("research/tiny:legal") is None
