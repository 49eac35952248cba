"""The pool in which jobs run that name none: every node, every team."""

from django.db import migrations


def create(apps, schema_editor):
    pool = apps.get_model("pools", "Pool")
    pool.objects.get_or_create(name="default", defaults={"is_default": True})


class Migration(migrations.Migration):
    dependencies = [("pools", "0002_pools_and_states")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
