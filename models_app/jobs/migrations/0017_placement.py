"""Why a job was given its node."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0016_gangs")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="placement",
            field=models.JSONField(
                db_default={},
                default=dict,
                help_text="What spoke for its node when it was placed",
            ),
        ),
    ]
