"""Pages of approvals: the inbox, the review of one request, the policies of environments."""

from django.urls import path

from console.pages.approvals import views

urlpatterns = [
    path("approvals/", views.approval_list, name="approval_list"),
    path("approvals/policies/", views.policy_list, name="approval_policies"),
    path("approvals/policies/<slug:name>/", views.policy_change, name="approval_policy"),
    path("approvals/CR-<int:pk>/", views.approval_detail, name="approval_detail"),
    path("approvals/CR-<int:pk>/withdraw/", views.withdraw, name="approval_withdraw"),
]
