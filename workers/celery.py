"""The Celery app: carries go signals and the clock's ticks, never the only copy of anything."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings.worker")

app = Celery("slipway", include=["workers.tasks"])
app.config_from_object("django.conf:settings", namespace="CELERY")
app.set_default()
app.conf.beat_schedule = {
    "sweep": {"task": "workers.sweep", "schedule": 5.0, "options": {"expires": 10}},
    "reconcile": {"task": "workers.reconcile", "schedule": 2.0, "options": {"expires": 4}},
    "golden": {"task": "workers.golden", "schedule": 2.0, "options": {"expires": 4}},
    "tidy": {"task": "workers.tidy", "schedule": 600.0, "options": {"expires": 600}},
    "alerts": {"task": "workers.alerts", "schedule": 15.0, "options": {"expires": 15}},
    "store": {"task": "workers.store", "schedule": 10.0, "options": {"expires": 10}},
    "finetuning": {"task": "workers.finetuning", "schedule": 3.0, "options": {"expires": 6}},
    "batches": {"task": "workers.batches", "schedule": 3.0, "options": {"expires": 6}},
    "search": {"task": "workers.search", "schedule": 5.0, "options": {"expires": 10}},
    "requests": {"task": "workers.requests", "schedule": 60.0, "options": {"expires": 60}},
    "drill": {"task": "workers.drill", "schedule": 600.0, "options": {"expires": 600}},
}
