"""The reference page of roles, permissions and scopes, written from the tables that decide."""

from django.utils.translation import override

from console.access.roles import GRANTS, PERSONAL, PLATFORM, Role, Scope

HEAD = """# Roles, permissions and token scopes

<!-- Written by `python manage.py permissions_reference > docs/reference/permissions.md`. -->

Everything that can be seen belongs to a team. Whoever is not in the team gets 404 for it, as if it
did not exist; whoever is in the team without the role gets 403. Platform admins have every
permission in every team; what is above teams is theirs alone. Changes of roles, revoked tokens and
deactivated people take effect with the next request.

A request with an API token needs both: the role of the token's owner, and the token's scope. A
token that is bound to a team reaches nothing outside it. Reading through the API always needs the
scope `read`, except `GET /api/v1/auth/me`. Nobody can vote on their own approval request.
"""


def permissions_page() -> str:
    """The whole page as Markdown."""
    with override(None):
        return "\n".join([HEAD, _roles(), _platform(), _personal(), _scopes()])


def _roles() -> str:
    lines = [
        "## In a team",
        "",
        "| permission | " + " | ".join(str(role.label) for role in Role) + " | token scope |",
        "| --- |" + " --- |" * (len(Role) + 1),
    ]
    for perm, (roles, scope) in GRANTS.items():
        marks = " | ".join("yes" if role in roles else "–" for role in Role)
        lines.append(f"| `{perm}` | {marks} | `{scope}` |")
    return "\n".join([*lines, ""])


def _platform() -> str:
    return _plain("Platform admins only", PLATFORM)


def _personal() -> str:
    return _plain("Everybody, for what is their own", PERSONAL)


def _plain(title: str, table: dict[str, Scope]) -> str:
    rows = [f"| `{perm}` | `{scope}` |" for perm, scope in table.items()]
    return "\n".join(
        [f"## {title}", "", "| permission | token scope |", "| --- | --- |", *rows, ""]
    )


def _scopes() -> str:
    rows = [f"| `{scope}` | {scope.label} |" for scope in Scope]
    return "\n".join(
        ["## Token scopes", "", "| scope | lets through |", "| --- | --- |", *rows, ""]
    )
