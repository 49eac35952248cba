import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0003_jobs_into_the_default_pool")]
    operations = [
        migrations.AlterField(
            model_name="job",
            name="pool",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="pools.pool"
            ),
        ),
    ]
