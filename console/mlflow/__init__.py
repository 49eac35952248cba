"""`/mlflow`: programs that log by MLflow log here, with `MLFLOW_TRACKING_URI` and an API token."""
