"""URLs of the API of approvals."""

from django.urls import path

from models_app.approvals import api

urlpatterns = [
    path("approvals", api.ApprovalListApi.as_view(), name="api_approval_list"),
    path("approvals/<int:pk>", api.ApprovalDetailApi.as_view(), name="api_approval_detail"),
    path("approvals/<int:pk>/votes", api.ApprovalVoteApi.as_view(), name="api_approval_vote"),
    path(
        "approvals/<int:pk>/withdraw",
        api.ApprovalWithdrawApi.as_view(),
        name="api_approval_withdraw",
    ),
    path("environments", api.EnvironmentListApi.as_view(), name="api_environment_list"),
    path(
        "environments/<slug:name>",
        api.EnvironmentDetailApi.as_view(),
        name="api_environment_detail",
    ),
]
