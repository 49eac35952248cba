"""Every value that programs log is kept, also several of one step; adapters are trained further."""

import django.db.models.deletion
from django.db import migrations, models

TAKE = """
INSERT INTO registry_sidepoint (run_id, name, step, at, value, is_finite)
SELECT run_id, name, step, at, value, false FROM registry_oddpoint
"""
BACK = """
INSERT INTO registry_oddpoint (run_id, name, step, value, at)
SELECT DISTINCT ON (run_id, name, step) run_id, name, step, value, at FROM registry_sidepoint
 WHERE NOT is_finite ORDER BY run_id, name, step, at DESC
"""


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0014_evaluation_tasks'),
    ]

    operations = [
        migrations.CreateModel(
            name='SidePoint',
            fields=[
                ('pk', models.CompositePrimaryKey('run_id', 'name', 'step', 'at', 'value', blank=True, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=250)),
                ('step', models.BigIntegerField()),
                ('at', models.DateTimeField()),
                ('value', models.FloatField()),
                ('is_finite', models.BooleanField()),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='side_points', to='registry.trainingrun')),
            ],
            options={
                'verbose_name': 'further value of a step',
                'ordering': ['name', 'step', 'at'],
                'indexes': [models.Index(condition=models.Q(('is_finite', False)), fields=['run', 'name'], name='side_point_odd')],
            },
        ),
        migrations.RunSQL(TAKE, BACK),
        migrations.DeleteModel(name='OddPoint'),
        migrations.AddField(
            model_name='versionrecord',
            name='begun_with',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='taken_further', to='registry.modelversion'),
        ),
    ]
