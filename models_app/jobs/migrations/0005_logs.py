import django.contrib.postgres.indexes
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_pool_required")]
    operations = [
        migrations.AddField("job", "log_first", models.BigIntegerField(default=1)),
        migrations.AddField("job", "log_bytes", models.BigIntegerField(default=0)),
        # Nothing is known to be missing from logs that were written before.
        migrations.AddField("jobattempt", "log_complete", models.BooleanField(default=True)),
        migrations.AlterField("jobattempt", "log_complete", models.BooleanField(default=False)),
        migrations.AddField(
            "jobattempt", "log_gap_seq", models.BigIntegerField(blank=True, null=True)
        ),
        migrations.AddField(
            "logchunk",
            "size",
            models.PositiveIntegerField(default=0, help_text="Bytes, unpacked"),
        ),
        migrations.AddField("logchunk", "levels", models.PositiveSmallIntegerField(default=0)),
        migrations.AddField("logchunk", "grams", models.BinaryField(null=True)),
        migrations.AddField(
            "logchunk",
            "stored_at",
            models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        migrations.AddIndex(
            "logchunk",
            models.Index(
                condition=models.Q(("grams", None)),
                fields=["job", "first_seq"],
                name="log_chunk_loose",
            ),
        ),
        migrations.AddIndex(
            "logchunk",
            django.contrib.postgres.indexes.BrinIndex(fields=["stored_at"], name="log_chunk_age"),
        ),
        migrations.AddIndex(
            "jobattempt",
            models.Index(
                condition=models.Q(("log_complete", False), ("log_gap_seq", None)),
                fields=["ended_at"],
                name="attempt_log_open",
            ),
        ),
        # Packed bodies gain nothing from another compression; the grams are read without them.
        migrations.RunSQL(
            "ALTER TABLE jobs_logchunk ALTER COLUMN body SET STORAGE EXTERNAL,"
            " ALTER COLUMN grams SET STORAGE MAIN",
            migrations.RunSQL.noop,
        ),
    ]
