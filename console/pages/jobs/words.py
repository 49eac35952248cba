"""Words of job kinds and their runs that come as plain English, so that they are translated."""

from django.utils.translation import gettext_noop as _

#: Labels of the kinds; pages translate them where they show them.
KINDS = (
    _("Check a dataset version"),
    _("Convert a model version"),
    _("Evaluate a model version"),
    _("Import a dataset version"),
    _("Prepare a dataset version"),
    _("Preview a preparation"),
    _("Self-test of a node"),
    _("Serve a model version"),
    _("Train a model version"),
)
#: Stages that runs report.
STAGES = (
    _("answering"),
    _("cleaning"),
    _("comparing"),
    _("converting"),
    _("evaluating"),
    _("learning"),
    _("loading"),
    _("preparing"),
    _("reading"),
    _("saving"),
    _("serving"),
    _("splitting"),
    _("testing"),
    _("tokenizing"),
    _("training"),
    _("writing"),
)
