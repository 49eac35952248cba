"""What each replica has loaded of the adapters of its revision."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deployments", "0006_scaling")]

    operations = [
        migrations.AddField("replica", "adapters", models.JSONField(default=dict)),
    ]
