"""A call keeps the node that answered it: a replica's job may move on."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deployments", "0008_request_at")]

    operations = [
        migrations.AddField(
            model_name="requestrecord",
            name="node",
            field=models.CharField(blank=True, max_length=120),
        ),
    ]
