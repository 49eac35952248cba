"""Pages of jobs: list, new, live detail with log and charts."""

from django.urls import path

from console.pages.jobs import again, control, views

urlpatterns = [
    path("jobs/", views.job_list, name="job_list"),
    path("jobs/new/", views.job_new, name="job_new"),
    path("jobs/<int:pk>/", views.job_detail, name="job_detail"),
    path("jobs/<int:pk>/log.json", views.job_log_json, name="job_log_json"),
    path("jobs/<int:pk>/log/search.json", views.job_log_search, name="job_log_search"),
    path("jobs/<int:pk>/log.txt", views.job_log_text, name="job_log_text"),
    path(
        "jobs/<int:pk>/metrics/<slug:group>.json", views.job_metrics_json, name="job_metrics_json"
    ),
    path("jobs/<int:pk>/cancel/", views.job_cancel_view, name="job_cancel"),
    path("jobs/<int:pk>/rerun/", views.job_rerun_view, name="job_rerun"),
    path("jobs/<int:pk>/again/", again.job_again, name="job_again"),
    path("jobs/<int:pk>/again/changes/", again.job_again_changes, name="job_again_changes"),
    path("jobs/<int:pk>/pause/", control.pause, name="job_pause"),
    path("jobs/<int:pk>/resume/", control.resume, name="job_resume"),
    path("jobs/<int:pk>/priority/", control.priority, name="job_priority"),
]
