"""Signals about what checks and scans have newly found: they say so for the rule's minutes."""

from models_app.alerts.signals import Answers, Question, ask

BLOCKED = """
SELECT dataset.team_id, dataset.name, count(*)
  FROM datasets_versionquality quality
  JOIN datasets_datasetversion version ON version.id = quality.version_id
  JOIN datasets_dataset dataset ON dataset.id = version.dataset_id
 WHERE quality.state = 'blocked'
   AND quality.changed_at > clock_timestamp() - make_interval(mins => %(minutes)s)
 GROUP BY dataset.id
"""
SCANS = """
SELECT model.team_id, model.name, count(*)
  FROM registry_versionscan scan
  JOIN registry_modelversion version ON version.id = scan.version_id
  JOIN registry_model model ON model.id = version.model_id
 WHERE scan.verdict = 'blocked'
   AND scan.created_at > clock_timestamp() - make_interval(mins => %(minutes)s)
 GROUP BY model.id
"""


def dataset_versions_blocked(question: Question) -> Answers:
    """Versions that the data policy has come to block, by dataset."""
    return ask(BLOCKED, question)


def scans_blocked(question: Question) -> Answers:
    """Scans that ended with the verdict “blocked”, by model."""
    return ask(SCANS, question)
