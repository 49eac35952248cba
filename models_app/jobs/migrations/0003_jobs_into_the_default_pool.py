"""Jobs from before there were pools belong to the default one."""

from django.db import migrations


def assign(apps, schema_editor):
    pool = apps.get_model("pools", "Pool").objects.get(is_default=True)
    apps.get_model("jobs", "Job").objects.filter(pool=None).update(pool=pool)


class Migration(migrations.Migration):
    dependencies = [("jobs", "0002_placement")]
    operations = [migrations.RunPython(assign, migrations.RunPython.noop)]
