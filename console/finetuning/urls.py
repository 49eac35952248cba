"""Addresses of OpenAI's files, fine-tuning and batches, under /v1/; `asgi.py` sends them here."""

from django.urls import path, re_path

from console.finetuning import batches, files, jobs
from console.finetuning.entry import spoken, unknown

JOB = "fine_tuning/jobs/<str:key>"
BATCH = "batches/<str:key>"

urlpatterns = [
    path("files", spoken(get=files.list_files, post=files.add_file), name="openai_files"),
    path(
        "files/<str:key>", spoken(get=files.one_file, delete=files.remove_file), name="openai_file"
    ),
    path("files/<str:key>/content", spoken(get=files.file_content), name="openai_file_content"),
    path(
        "fine_tuning/jobs", spoken(get=jobs.list_jobs, post=jobs.create_job), name="openai_tunings"
    ),
    path(JOB, spoken(get=jobs.one_job), name="openai_tuning"),
    path(f"{JOB}/events", spoken(get=jobs.list_events), name="openai_tuning_events"),
    path(f"{JOB}/checkpoints", spoken(get=jobs.list_checkpoints), name="openai_tuning_checkpoints"),
    path(f"{JOB}/cancel", spoken(post=jobs.cancel_job), name="openai_tuning_cancel"),
    path(f"{JOB}/pause", spoken(post=jobs.pause_job), name="openai_tuning_pause"),
    path(f"{JOB}/resume", spoken(post=jobs.resume_job), name="openai_tuning_resume"),
    path(
        "batches",
        spoken(get=batches.list_batches, post=batches.create_batch),
        name="openai_batches",
    ),
    path("batches/<str:key>", spoken(get=batches.one_batch), name="openai_batch"),
    path("batches/<str:key>/cancel", spoken(post=batches.cancel_batch), name="openai_batch_cancel"),
    re_path(r"^(?:files|fine_tuning|batches)(?:/.*)?$", unknown),
]
