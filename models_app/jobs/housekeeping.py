"""What is done now and then: log lines past their time go, and files that nothing names."""

from models_app.jobs.checkpoints import files_collect
from models_app.jobs.log_retention import logs_expire


def tidy() -> dict[str, int]:
    """One round; returns how many logs lost lines, for which reason, and how many files went."""
    return {**logs_expire(), "files": files_collect()}
