"""Shared by models of the domain: what a team owns, and how lists are narrowed to what one sees."""

from typing import TypeVar

from django.conf import settings
from django.db import connection, models
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.clock import now
from models_app.core.errors import NotFound

M_co = TypeVar("M_co", bound=models.Model, covariant=True)


class TeamQuerySet(models.QuerySet[M_co]):
    """Rows that reach a team through `team_path` (a lookup, `team_id` by default)."""

    def visible_to(self, actor: Actor) -> "TeamQuerySet[M_co]":
        """Only rows of teams that the actor may see."""
        seen = self._seen_by(actor)
        return self.filter(**seen) if seen else self

    def _seen_by(self, actor: Actor) -> dict[str, object]:
        teams = actor.visible_team_ids()
        if teams is None:
            return {}
        return {f"{getattr(self.model, 'team_path', 'team_id')}__in": teams}

    def get_visible(self, actor: Actor, **lookup: object) -> M_co:
        """The one row, or NotFound, whether it is missing or hidden."""
        # One step and no order: this stands at the beginning of nearly every request.
        row = next(iter(self.filter(**lookup, **self._seen_by(actor)).order_by()[:1]), None)
        if row is None:
            raise self._none()
        return row

    def get_columns(self, actor: Actor, pk: int, *names: str) -> M_co:
        """One row by its number with these columns (not JSON) and `team_id`, or NotFound.

        For calls that come many times a second: building a query costs more than asking it.
        """
        wanted = {"id", "team_id", *names}
        columns = [f for f in self.model._meta.concrete_fields if f.attname in wanted]
        listed = ", ".join(f'"{field.column}"' for field in columns)
        with connection.cursor() as cursor:
            table = self.model._meta.db_table
            cursor.execute(f'SELECT {listed} FROM "{table}" WHERE id = %s', [pk])
            values = cursor.fetchone()
        teams = actor.visible_team_ids()
        attributes = [field.attname for field in columns]
        row = self.model.from_db(connection.alias, attributes, values) if values else None
        if row is None or (teams is not None and row.team_id not in teams):  # type: ignore[attr-defined]
            raise self._none()
        return row

    def _none(self) -> NotFound:
        noun = _(str(self.model._meta.verbose_name))
        return NotFound(_("There is no such %(noun)s.") % {"noun": noun})


class TeamOwned(models.Model):
    """A thing that belongs to one team."""

    team = models.ForeignKey("access.Team", on_delete=models.PROTECT, related_name="+")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)

    objects = TeamQuerySet.as_manager()

    class Meta:
        abstract = True
