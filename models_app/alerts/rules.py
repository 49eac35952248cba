"""The rules in force: the newest revision of every configuration of the kind `alerts`.

What is said about deployments of an environment that has an overlay comes from that overlay, as a
deployment takes its settings; everything else is in no environment and comes from the revision.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from models_app.configs.models import ConfigRevision, OverlayRevision
from models_app.configs.services import effective_spec
from models_app.configs.specs import AlertsSpec
from models_app.configs.specs.alerts import SIGNALS, Rule
from models_app.core.errors import InvalidInput

logger = logging.getLogger(__name__)
KIND = "alerts"


@dataclass(frozen=True, kw_only=True)
class RuleInForce:
    """A rule, what says it, and the environments whose deployments it is about."""

    rule: Rule
    revision: ConfigRevision
    overlay: OverlayRevision | None = None
    environment: str = ""
    besides: tuple[str, ...] = ()

    @property
    def team_id(self) -> int:
        return self.revision.config.team_id

    def is_about(self, subject: str, environment: str) -> bool:
        """Whether the rule still concerns a subject; `environment` is that of a deployment."""
        if getattr(self.rule, SIGNALS[self.rule.signal].subject, None) not in (None, subject):
            return False
        return (
            self.environment == environment if self.environment else environment not in self.besides
        )


def rules_in_force() -> list[RuleInForce]:
    """All of them, of all teams."""
    newest = ConfigRevision.objects.filter(config__kind=KIND).order_by("config_id", "-number")
    overlays: dict[int, list[OverlayRevision]] = defaultdict(list)
    rows = OverlayRevision.objects.filter(config__kind=KIND)
    last = rows.order_by("config_id", "environment", "-number")
    for overlay in last.distinct("config_id", "environment"):
        if overlay.patch:
            overlays[overlay.config_id].append(overlay)
    return [
        entry
        for revision in newest.distinct("config_id").select_related("config")
        for entry in _of(revision, overlays[revision.config_id])
    ]


def _of(revision: ConfigRevision, overlays: list[OverlayRevision]) -> Iterator[RuleInForce]:
    # An overlay that takes every rule away decides for its environment as well.
    decided = []
    for overlay in overlays:
        rules = _read(revision, overlay)
        if rules is None:
            continue
        name = overlay.environment
        decided.append(name)
        for rule in filter(_in_environment, rules):
            yield RuleInForce(rule=rule, revision=revision, overlay=overlay, environment=name)
    for rule in _read(revision, None) or ():
        besides = tuple(decided) if _in_environment(rule) else ()
        yield RuleInForce(rule=rule, revision=revision, besides=besides)


def _in_environment(rule: Rule) -> bool:
    return SIGNALS[rule.signal].subject == "deployment"


def _read(revision: ConfigRevision, overlay: OverlayRevision | None) -> list[Rule] | None:
    """None for what was valid when it was stored and is not any more."""
    try:
        spec = effective_spec(KIND, revision.spec, overlay.patch if overlay else {}).spec
    except InvalidInput as error:
        logger.warning("%s is not read: %s", overlay or revision, error.message)
        return None
    assert isinstance(spec, AlertsSpec)
    return spec.rules
