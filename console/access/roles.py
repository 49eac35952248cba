"""Who may do what: roles, the permissions each role grants, and the scopes that narrow a token."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """A person's role in one team. What each may do is written in GRANTS."""

    VIEWER = "viewer", _("Viewer")
    DEVELOPER = "developer", _("Developer")
    APPROVER = "approver", _("Approver")
    ADMIN = "admin", _("Admin")


class Scope(models.TextChoices):
    """What an API token may be used for; never more than its owner's roles allow."""

    READ = "read", _("Read everything its owner sees")
    INFER = "infer", _("Ask deployed models")
    WRITE = "write", _("Import data, start and stop jobs, register versions")
    DEPLOY = "deploy", _("Create, change and roll back deployments")
    APPROVE = "approve", _("Vote on approvals")
    ADMIN = "admin", _("Manage people, teams and tokens")


# permission -> (roles that grant it, token scope that lets it through)
_READERS = {Role.VIEWER, Role.DEVELOPER, Role.APPROVER, Role.ADMIN}
_BUILDERS = {Role.DEVELOPER, Role.ADMIN}
_ADMINS = {Role.ADMIN}

GRANTS: dict[str, tuple[set[Role], Scope]] = {
    "access.view_team": (_READERS, Scope.READ),
    "access.change_team": (_ADMINS, Scope.ADMIN),
    "access.add_membership": (_ADMINS, Scope.ADMIN),
    "access.change_membership": (_ADMINS, Scope.ADMIN),
    "access.delete_membership": (_ADMINS, Scope.ADMIN),
    "audit.view_event": (_READERS, Scope.READ),
    "storage.add_upload": (_BUILDERS, Scope.WRITE),
    "jobs.view_job": (_READERS, Scope.READ),
    "jobs.submit_job": (_BUILDERS, Scope.WRITE),
    "jobs.cancel_job": (_BUILDERS, Scope.WRITE),
    "jobs.rerun_job": (_BUILDERS, Scope.WRITE),
    "jobs.pause_job": (_BUILDERS, Scope.WRITE),
    "jobs.pin_checkpoint": (_BUILDERS, Scope.WRITE),
    "jobs.prioritise_job": (_ADMINS, Scope.WRITE),
    "datasets.view_dataset": (_READERS, Scope.READ),
    "datasets.add_dataset": (_BUILDERS, Scope.WRITE),
    "datasets.change_dataset": (_BUILDERS, Scope.WRITE),
    "datasets.waive_quality": (_BUILDERS, Scope.WRITE),
    "datasets.change_policy": (_ADMINS, Scope.WRITE),
    "configs.view_config": (_READERS, Scope.READ),
    "configs.add_config": (_BUILDERS, Scope.WRITE),
    "registry.view_model": (_READERS, Scope.READ),
    "registry.add_model": (_BUILDERS, Scope.WRITE),
    "registry.change_model": (_BUILDERS, Scope.WRITE),
    "registry.add_version": (_BUILDERS, Scope.WRITE),
    "registry.evaluate_version": (_BUILDERS, Scope.WRITE),
    "registry.reproduce_version": (_BUILDERS, Scope.WRITE),
    "registry.plan_drills": (_ADMINS, Scope.WRITE),
    "registry.scan_version": (_BUILDERS, Scope.WRITE),
    "registry.convert_version": (_BUILDERS, Scope.WRITE),
    "registry.quarantine_version": (_ADMINS, Scope.WRITE),
    "registry.set_alias": (_BUILDERS, Scope.WRITE),
    "registry.move_stage": (_BUILDERS, Scope.WRITE),
    "registry.set_tag": (_BUILDERS, Scope.WRITE),
    "registry.log_run": (_BUILDERS, Scope.WRITE),
    "approvals.view_request": (_READERS, Scope.READ),
    "approvals.vote_request": ({Role.APPROVER, Role.ADMIN}, Scope.APPROVE),
    "approvals.withdraw_request": (_BUILDERS, Scope.DEPLOY),
    "approvals.withdraw_any_request": (_ADMINS, Scope.DEPLOY),
    "deployments.view_deployment": (_READERS, Scope.READ),
    "deployments.add_deployment": (_BUILDERS, Scope.DEPLOY),
    "deployments.change_deployment": (_BUILDERS, Scope.DEPLOY),
    "deployments.roll_out_deployment": (_BUILDERS, Scope.DEPLOY),
    "deployments.roll_back_deployment": (_BUILDERS, Scope.DEPLOY),
    "deployments.infer_deployment": (_READERS, Scope.INFER),
    "routing.view_route": (_READERS, Scope.READ),
    "routing.add_route": (_BUILDERS, Scope.DEPLOY),
    "routing.change_route": (_BUILDERS, Scope.DEPLOY),
    "routing.delete_route": (_BUILDERS, Scope.DEPLOY),
    "alerts.view_alert": (_READERS, Scope.READ),
    "alerts.acknowledge_alert": (_BUILDERS, Scope.WRITE),
}

# Only platform admins, whatever their teams. Scope of a token that may pass it on.
PLATFORM: dict[str, Scope] = {
    "access.add_team": Scope.ADMIN,
    "access.add_user": Scope.ADMIN,
    "access.change_user": Scope.ADMIN,
    "approvals.change_policy": Scope.ADMIN,
    "pools.view_node": Scope.READ,
    "pools.manage_node": Scope.ADMIN,
    "pools.manage_pool": Scope.ADMIN,
    "storage.view_store": Scope.READ,
    "storage.manage_store": Scope.ADMIN,
}

# Anybody signed in: one's own things. The service checks that they are one's own.
PERSONAL: dict[str, Scope] = {
    "access.add_token": Scope.ADMIN,
    "access.revoke_token": Scope.ADMIN,
    "access.change_password": Scope.ADMIN,
    "access.change_profile": Scope.ADMIN,
}
