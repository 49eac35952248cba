"""API addresses of jobs."""

from django.urls import path

from models_app.jobs import api, checkpoint_api, control_api, log_api, pool_api, sample_api

urlpatterns = [
    path("jobs", api.JobListApi.as_view(), name="api_job_list"),
    path("jobs/<int:pk>", api.JobDetailApi.as_view(), name="api_job_detail"),
    path("jobs/<int:pk>/cancel", api.JobCancelApi.as_view()),
    path("jobs/<int:pk>/rerun", api.JobRerunApi.as_view()),
    path("jobs/<int:pk>/pause", control_api.JobPauseApi.as_view()),
    path("jobs/<int:pk>/resume", control_api.JobResumeApi.as_view()),
    path("jobs/<int:pk>/priority", control_api.JobPriorityApi.as_view()),
    path("jobs/<int:pk>/attempts", api.JobAttemptListApi.as_view()),
    path("jobs/<int:pk>/parts", api.JobPartListApi.as_view()),
    path("jobs/<int:pk>/checkpoints", api.JobCheckpointListApi.as_view()),
    path("jobs/<int:pk>/logs", log_api.JobLogApi.as_view()),
    path("jobs/<int:pk>/log/search", log_api.JobLogSearchApi.as_view()),
    path("jobs/<int:pk>/log.txt", log_api.JobLogTextApi.as_view(), name="api_job_log"),
    path("jobs/<int:pk>/metrics", api.JobMetricsApi.as_view()),
    path("jobs/<int:pk>/samples", sample_api.JobSampleListApi.as_view(), name="api_job_samples"),
    path("jobs/<int:pk>/why", api.JobWhyApi.as_view()),
    path(
        "checkpoints/<int:pk>", checkpoint_api.CheckpointDetailApi.as_view(), name="api_checkpoint"
    ),
    path("checkpoints/<int:pk>/pin", checkpoint_api.CheckpointPinApi.as_view()),
    path("checkpoints/<int:pk>/unpin", checkpoint_api.CheckpointUnpinApi.as_view()),
    path(
        "checkpoints/<int:pk>/download",
        checkpoint_api.CheckpointDownloadApi.as_view(),
        name="api_checkpoint_download",
    ),
    path("nodes/<str:name>/release-jobs", control_api.NodeReleaseApi.as_view()),
    path("pools", pool_api.PoolListApi.as_view(), name="api_pool_list"),
    path("pools/<str:name>", pool_api.PoolDetailApi.as_view(), name="api_pool_detail"),
    path("job-kinds", api.JobKindListApi.as_view()),
]
