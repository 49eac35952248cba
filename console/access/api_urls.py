"""The API of access under /api/v1/."""

from django.urls import path

from console.access import api, token_api

urlpatterns = [
    path("auth/me", api.MeApi.as_view(), name="api_me"),
    path("tokens", token_api.TokenListApi.as_view(), name="api_token_list"),
    path("tokens/<int:pk>", token_api.TokenDetailApi.as_view(), name="api_token_detail"),
    path("tokens/<int:pk>/rotate", token_api.TokenRotateApi.as_view()),
    path("users", api.UserListApi.as_view(), name="api_user_list"),
    path("users/<int:pk>", api.UserDetailApi.as_view(), name="api_user_detail"),
    path("users/<int:pk>/deactivate", api.UserDeactivateApi.as_view()),
    path("users/<int:pk>/activate", api.UserActivateApi.as_view()),
    path("users/<int:pk>/password-reset", api.UserPasswordResetApi.as_view()),
    path("teams", api.TeamListApi.as_view(), name="api_team_list"),
    path("teams/<str:slug>", api.TeamDetailApi.as_view(), name="api_team_detail"),
    path("teams/<str:slug>/memberships", api.MembershipListApi.as_view()),
    path(
        "teams/<str:slug>/memberships/<int:user_id>",
        api.MembershipApi.as_view(),
        name="api_membership",
    ),
]
