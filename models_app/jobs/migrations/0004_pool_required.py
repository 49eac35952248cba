import django.db.models.deletion
import django.db.models.functions.datetime
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
        migrations.AlterField(
            model_name="job",
            name="run_after",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                help_text="Not to be started before",
            ),
        ),
    ]
