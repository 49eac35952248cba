"""What is done to configurations: revised, overlaid for an environment, checked beforehand."""

from models_app.configs.services.merged import Effective, effective_spec
from models_app.configs.services.overlays import overlay_revise
from models_app.configs.services.revisions import config_revise, config_save, revision_spec

__all__ = [
    "Effective",
    "config_revise",
    "config_save",
    "effective_spec",
    "overlay_revise",
    "revision_spec",
]
