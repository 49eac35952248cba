"""Trainings that are there already become runs that can be searched."""

from django.db import migrations

LATEST = """
INSERT INTO jobs_metriclatest (job_id, name, step, value)
SELECT DISTINCT ON (job_id, name) job_id, name, step, value
  FROM jobs_metricpoint ORDER BY job_id, name, step DESC
ON CONFLICT DO NOTHING
"""
FINAL = """
INSERT INTO jobs_metriclatest (job_id, name, step, value)
SELECT DISTINCT ON (v.produced_by_id, left(m.key, 60))
       v.produced_by_id, left(m.key, 60), coalesce(j.step, 0), (m.value #>> '{}')::float8
  FROM registry_modelversion v JOIN jobs_job j ON j.id = v.produced_by_id,
       jsonb_each(v.metrics) AS m(key, value)
 WHERE j.kind = 'train' AND jsonb_typeof(v.metrics) = 'object'
   AND jsonb_typeof(m.value) = 'number'
ON CONFLICT (job_id, name) DO UPDATE SET value = excluded.value
"""
RUNS = """
INSERT INTO registry_trainingrun
       (job_id, team_id, name, model_id, dataset_version_id, dataset_id, created_by_id, created_at)
SELECT DISTINCT ON (j.id) j.id, j.team_id, m.name || ' v' || v.number, m.id, v.dataset_version_id,
       d.dataset_id, j.created_by_id, j.created_at
  FROM registry_modelversion v JOIN jobs_job j ON j.id = v.produced_by_id
  JOIN registry_model m ON m.id = v.model_id
  LEFT JOIN datasets_datasetversion d ON d.id = v.dataset_version_id
 WHERE j.kind = 'train'
ON CONFLICT DO NOTHING
"""
PARAMS = """
WITH RECURSIVE nodes AS (
  SELECT r.job_id AS run, p.key AS name, p.value
    FROM registry_trainingrun r JOIN registry_modelversion v ON v.produced_by_id = r.job_id
    JOIN configs_configrevision c ON c.id = v.config_revision_id, jsonb_each(c.spec) AS p(key, value)
   WHERE jsonb_typeof(c.spec) = 'object'
  UNION ALL
  SELECT n.run, n.name || '.' || p.key, p.value
    FROM nodes n, jsonb_each(n.value) AS p(key, value) WHERE jsonb_typeof(n.value) = 'object'
)
INSERT INTO registry_runparam (run_id, name, number, text)
SELECT run, left(name, 250),
       CASE WHEN jsonb_typeof(value) = 'number' THEN (value #>> '{}')::float8 END,
       left(value #>> '{}', 500)
  FROM nodes WHERE jsonb_typeof(value) NOT IN ('object', 'null')
ON CONFLICT DO NOTHING
"""


class Migration(migrations.Migration):

    dependencies = [
        ("registry", "0004_catalogue"),
        ("jobs", "0009_metric_latest"),
        ("configs", "0002_server_time"),
        ("datasets", "0002_server_time"),
    ]

    operations = [
        migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in (LATEST, FINAL, RUNS, PARAMS)
    ]
