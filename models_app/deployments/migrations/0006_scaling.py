"""What scaling remembers between two looks, so that it goes on after a restart."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deployments", "0005_rollout_course")]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="over_since",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="deployment",
            name="calm_since",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="deployment",
            name="held_at",
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="deployment",
            name="held_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
