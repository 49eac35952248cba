"""What is done to the quality of data: preparations, checks, policies, waivers."""

from models_app.curation.services.checks import quality_check_complete, quality_judge
from models_app.curation.services.policies import data_policy_change
from models_app.curation.services.preparation import (
    dataset_prepare,
    preparation_preview,
    preparation_tokenizer,
)
from models_app.curation.services.waivers import waiver_request

__all__ = [
    "data_policy_change", "dataset_prepare", "preparation_preview", "preparation_tokenizer",
    "quality_check_complete", "quality_judge", "waiver_request",
]  # fmt: skip
