"""Calls of a deployment by their time: its page asks for the last quarter of an hour or day."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deployments", "0007_adapters")]

    operations = [
        migrations.AddIndex(
            model_name="requestrecord",
            index=models.Index(fields=["deployment", "at"], name="request_deployment_at"),
        ),
    ]
