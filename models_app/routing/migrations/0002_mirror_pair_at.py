"""Mirrored requests by their time: old ones go."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("routing", "0001_initial")]

    operations = [
        migrations.AddIndex(
            model_name="mirrorpair",
            index=models.Index(fields=["at"], name="mirror_pair_at"),
        ),
    ]
