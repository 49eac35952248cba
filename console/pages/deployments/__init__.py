"""Pages of deployments: list, new, detail, revisions, and what moves them."""

from django.urls import path

from console.pages.deployments import actions, editing, requests, views

ONE = "deployments/<str:team>/<str:name>/"

urlpatterns = [
    path("deployments/", views.deployment_list, name="deployment_list"),
    path("deployments/new/", editing.deployment_new, name="deployment_new"),
    path("deployments/plan/", editing.deployment_plan, name="deployment_plan"),
    path(ONE, views.deployment_detail, name="deployment_detail"),
    path(f"{ONE}revisions/new/", editing.revision_new, name="revision_new"),
    path(f"{ONE}revisions/<int:number>/", views.revision_detail, name="revision_detail"),
    path(f"{ONE}requests/", requests.deployment_requests, name="deployment_requests"),
    path(
        f"{ONE}requests/<path:request_id>/",
        requests.deployment_request,
        name="deployment_request",
    ),
    path(f"{ONE}revisions/<int:number>/roll-out/", actions.roll_out, name="revision_roll_out"),
    path(f"{ONE}roll-back/", actions.back, name="deployment_roll_back"),
    path(f"{ONE}roll-back/force/", actions.force, name="golden_force"),
    path(f"{ONE}abort/", actions.abort, name="deployment_abort"),
    path(f"{ONE}adapters/add/", actions.adapter_add, name="deployment_adapter_add"),
    path(f"{ONE}adapters/remove/", actions.adapter_remove, name="deployment_adapter_remove"),
    path(f"{ONE}pause/", actions.pause, name="rollout_pause"),
    path(f"{ONE}resume/", actions.resume, name="rollout_resume"),
    path(f"{ONE}promote/", actions.promote, name="rollout_promote"),
    path(f"{ONE}scale/", actions.scale, name="deployment_scale"),
    path(f"{ONE}stop/", actions.stop, name="deployment_stop"),
    path(f"{ONE}start/", actions.start, name="deployment_start"),
]
