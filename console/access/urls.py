"""Pages of access: sign-in, account, people, teams, tokens, audit log."""

from django.contrib.auth.views import LogoutView
from django.urls import path, re_path

from console.access.views import account, audit, people, session, teams, tokens

urlpatterns = [
    path("login/", session.SignInView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("account/", account.account, name="account"),
    path("account/password/", session.password_change_view, name="password_change"),
    path("account/sign-out-everywhere/", session.sessions_end_view, name="sessions_end"),
    path("people/", people.people, name="people"),
    path("people/new/", people.person_new, name="person_new"),
    path("people/<int:pk>/", people.person_detail, name="person_detail"),
    path("people/<int:pk>/password/", people.password_reset_view, name="person_password"),
    re_path(
        r"^people/(?P<pk>\d{1,18})/(?P<verb>deactivate|activate|admin|no-admin|sign-out)/$",
        people.person_act,
        name="person_act",
    ),
    path("teams/", teams.team_list, name="team_list"),
    path("teams/new/", teams.team_new, name="team_new"),
    path("teams/<str:slug>/", teams.team_detail, name="team_detail"),
    path("teams/<str:slug>/rename/", teams.team_rename_view, name="team_rename"),
    path("teams/<str:slug>/members/", teams.member_add, name="team_member_add"),
    path(
        "teams/<str:slug>/members/<int:user_id>/role/",
        teams.member_change,
        name="team_member_change",
    ),
    path(
        "teams/<str:slug>/members/<int:user_id>/remove/",
        teams.member_remove,
        name="team_member_remove",
    ),
    path("tokens/", tokens.token_list, name="token_list"),
    path("tokens/new/", tokens.token_new, name="token_new"),
    path("tokens/<int:pk>/replace/", tokens.token_rotate_view, name="token_rotate"),
    path("tokens/<int:pk>/revoke/", tokens.token_revoke_view, name="token_revoke"),
    path("audit/", audit.audit_list, name="audit_list"),
]
