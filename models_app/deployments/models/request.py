"""What became of each call of a model."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.deployments.models.deployment import Deployment, Revision
from models_app.deployments.models.replica import Replica


class RequestRecord(models.Model):
    """One call of a model through the gateway; one row even when the client hung up."""

    id = models.BigAutoField(primary_key=True)
    request_id = models.CharField(max_length=64, db_index=True)
    at = models.DateTimeField(db_index=True)
    deployment = models.ForeignKey(
        Deployment, null=True, on_delete=models.SET_NULL, related_name="requests"
    )
    revision = models.ForeignKey(Revision, null=True, on_delete=models.SET_NULL, related_name="+")
    replica = models.ForeignKey(Replica, null=True, on_delete=models.SET_NULL, related_name="+")
    #: Where that replica ran when it answered; its job may be elsewhere by now.
    node = models.CharField(max_length=120, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    token_prefix = models.CharField(max_length=16, blank=True)
    endpoint = models.CharField(max_length=40)
    stream = models.BooleanField(default=False)
    status = models.PositiveSmallIntegerField()
    #: `stop`, `length`, `client_closed`, `replica_lost`, or the code of the error.
    outcome = models.CharField(max_length=40, blank=True)
    retries = models.PositiveSmallIntegerField(default=0)
    #: How often the stream went on from another replica after it had begun.
    resumes = models.PositiveSmallIntegerField(default=0)
    #: The public name that was asked for, and the rule of the route that decided.
    model = models.CharField(max_length=200, blank=True)
    rule = models.CharField(max_length=80, blank=True)
    adapter = models.CharField(max_length=63, blank=True)
    #: What came instead of what was asked, such as `ngram`; empty: nothing did.
    degraded = models.CharField(max_length=40, blank=True)
    #: A copy for comparison, whose answer nobody got.
    mirrored = models.BooleanField(default=False)
    #: `hit` or `miss` of the cache of answers; empty: not asked.
    cache = models.CharField(max_length=8, blank=True)
    cached_tokens = models.PositiveIntegerField(default=0)
    #: Parts of the latency: waiting at the gateway, waiting at the replica, reading the prompt.
    gateway_wait_ms = models.FloatField(default=0)
    queue_ms = models.FloatField(null=True)
    prefill_ms = models.FloatField(null=True)
    wake_ms = models.FloatField(default=0)
    #: What the error said, without texts of the request.
    detail = models.CharField(max_length=300, blank=True)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    first_token_ms = models.FloatField(null=True)
    total_ms = models.FloatField()

    class Meta:
        verbose_name = _("request")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["deployment", "-id"], name="request_deployment"),
            models.Index(fields=["deployment", "at"], name="request_deployment_at"),
        ]

    def __str__(self) -> str:
        return self.request_id
