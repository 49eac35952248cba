"""URLs of the API of deployments."""

from django.urls import path

from models_app.deployments.api import actions, adapters, lineage, resources, rollouts

ONE = "deployments/<int:pk>"

urlpatterns = [
    path("lineage", lineage.LineageApi.as_view(), name="api_lineage"),
    path("deployments", resources.DeploymentListApi.as_view(), name="api_deployment_list"),
    path(ONE, resources.DeploymentDetailApi.as_view(), name="api_deployment_detail"),
    path(f"{ONE}/revisions", resources.RevisionListApi.as_view(), name="api_deployment_revisions"),
    path(
        f"{ONE}/revisions/<int:number>",
        resources.RevisionDetailApi.as_view(),
        name="api_deployment_revision",
    ),
    path(f"{ONE}/adapters", adapters.AdapterListApi.as_view(), name="api_deployment_adapters"),
    path(
        f"{ONE}/adapters/<str:name>",
        adapters.AdapterDetailApi.as_view(),
        name="api_deployment_adapter",
    ),
    path(f"{ONE}/replicas", resources.ReplicaListApi.as_view(), name="api_deployment_replicas"),
    path(f"{ONE}/requests", resources.RequestListApi.as_view(), name="api_deployment_requests"),
    path(f"{ONE}/plan", resources.PlanApi.as_view(), name="api_deployment_plan"),
    path(f"{ONE}/rollouts", rollouts.RolloutListApi.as_view(), name="api_deployment_rollout"),
    *(
        path(
            f"{ONE}/rollouts/{what}",
            rollouts.RolloutSteerApi.as_view(what=what),
            name=f"api_rollout_{what}",
        )
        for what in ("pause", "resume", "promote")
    ),
    path(f"{ONE}/rollback/force", rollouts.GoldenForceApi.as_view(), name="api_rollback_force"),
    path(
        f"{ONE}/revisions/<int:number>/golden",
        rollouts.GoldenListApi.as_view(),
        name="api_golden_list",
    ),
    path(f"{ONE}/rollouts/abort", actions.RolloutAbortApi.as_view(), name="api_rollout_abort"),
    path(f"{ONE}/rollback", actions.RollbackApi.as_view(), name="api_deployment_rollback"),
    path(f"{ONE}/scale", actions.ScaleApi.as_view(), name="api_deployment_scale"),
    path(f"{ONE}/stop", actions.StopApi.as_view(), name="api_deployment_stop"),
    path(f"{ONE}/start", actions.StartApi.as_view(), name="api_deployment_start"),
]
