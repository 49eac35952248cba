"""The environments a new installation starts with; production is protected by one approval."""

from django.db import migrations


def create(apps, schema_editor):
    environment = apps.get_model("approvals", "Environment")
    for position, (name, protected) in enumerate(
        [("development", False), ("staging", False), ("production", True)]
    ):
        environment.objects.get_or_create(
            name=name,
            defaults={"protected": protected, "required_approvals": 1, "position": position},
        )


class Migration(migrations.Migration):
    dependencies = [("approvals", "0001_initial")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
