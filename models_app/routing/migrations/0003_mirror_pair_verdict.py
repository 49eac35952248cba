"""What a judge said of two answers."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("routing", "0002_mirror_pair_at")]

    operations = [
        migrations.AddField(
            model_name="mirrorpair",
            name="verdict",
            field=models.CharField(max_length=4, null=True),
        ),
    ]
