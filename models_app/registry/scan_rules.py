"""What a scan of a version's files looks for: one table that the scanner, pages and docs read.

`RULESET` grows whenever a rule is added or becomes stricter, so that one can see which versions
were scanned by older rules; rules of bundles look at what carried a version, and do not count.
See docs/reference/scan-rules.md.
"""

from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

RULESET = 2


class Severity(models.TextChoices):
    """What a finding means for the version."""

    BLOCKED = "blocked", _("Blocked")
    WARNING = "warning", _("Warning")
    NOTE = "note", _("Note")


class Verdict(models.TextChoices):
    """What all findings together mean."""

    BLOCKED = "blocked", _("Blocked")
    WARNINGS = "warnings", _("Usable, with warnings")
    PASSED = "passed", _("Nothing found")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that is looked for. Title and remedy are English, marked for translation."""

    code: str
    severity: Severity
    title: str
    remedy: str


_LEAVE_OUT = gettext_noop("Remove the file, or name it under “leave out”.")
_BUNDLE_AGAIN = gettext_noop("Download the bundle again: it was changed or broke off on its way.")
_SAVE_AGAIN = gettext_noop("Save the model again with save_pretrained and safetensors.")


def _blocked(code: str, title: str, remedy: str) -> Rule:
    return Rule(code=code, severity=Severity.BLOCKED, title=title, remedy=remedy)


def _warning(code: str, title: str, remedy: str) -> Rule:
    return Rule(code=code, severity=Severity.WARNING, title=title, remedy=remedy)


def _note(code: str, title: str, remedy: str = "") -> Rule:
    return Rule(code=code, severity=Severity.NOTE, title=title, remedy=remedy)


_ALL = (
    # Files and names
    _blocked(
        "files.path",
        gettext_noop("A name that leaves its folder or cannot be kept"),
        gettext_noop("Pack the files again under plain relative names."),
    ),
    _blocked(
        "files.link",
        gettext_noop("A link"),
        gettext_noop("Put the file itself in place of the link."),
    ),
    _blocked("files.special", gettext_noop("A device, pipe or sparse file"), _LEAVE_OUT),
    _blocked(
        "files.twice",
        gettext_noop("Two files of one name"),
        gettext_noop("Give each file its own name, different in more than accents and case."),
    ),
    _blocked(
        "files.many",
        gettext_noop("Too many files"),
        gettext_noop("Import only the files of one model; the limit is a setting."),
    ),
    _blocked(
        "files.deep",
        gettext_noop("Folders nested too deep"),
        gettext_noop("A model has its files side by side: import the folder that holds them."),
    ),
    _blocked(
        "files.large",
        gettext_noop("Too large"),
        gettext_noop("Import less, or let the operator raise the limit."),
    ),
    _blocked(
        "files.ratio",
        gettext_noop("It unpacks to far more than it is"),
        gettext_noop("Pack the files again, or import them as a folder."),
    ),
    _blocked(
        "files.archive",
        gettext_noop("An archive that cannot be read"),
        gettext_noop("Pack the files again as .zip, .tar, .tar.gz or .tar.zst, without password."),
    ),
    _blocked(
        "files.nested",
        gettext_noop("An archive inside"),
        gettext_noop("Unpack it first, or name it under “leave out”."),
    ),
    _blocked("files.unknown", gettext_noop("A kind of file that is not taken"), _LEAVE_OUT),
    _blocked(
        "files.none",
        gettext_noop("No model in it"),
        gettext_noop("Import the folder that holds config.json beside model.safetensors."),
    ),
    _warning(
        "files.form",
        gettext_noop("A name with decomposed accents"),
        gettext_noop("Name the file in composed form (NFC); some systems cannot tell them apart."),
    ),
    _note("files.left_out", gettext_noop("Left out as asked")),
    # Code
    _blocked(
        "code.pickle",
        gettext_noop("A pickle: loading it runs code"),
        gettext_noop("Convert the weights to safetensors and leave the pickle out."),
    ),
    _blocked(
        "code.program",
        gettext_noop("A program"),
        gettext_noop("Slipway runs only code of its own libraries: remove the program."),
    ),
    _blocked(
        "code.remote",
        gettext_noop("It asks for code of its own (remote code)"),
        gettext_noop("Use a model whose architecture transformers has; remove the entry."),
    ),
    _blocked(
        "code.setting",
        gettext_noop("A setting that would fetch or choose code"),
        gettext_noop("Remove the entry from the file."),
    ),
    # Text and JSON
    _blocked("text.encoding", gettext_noop("Not plain UTF-8 text"), _LEAVE_OUT),
    _blocked("text.json", gettext_noop("Not valid JSON"), _SAVE_AGAIN),
    _blocked("text.large", gettext_noop("A text file that is too large"), _LEAVE_OUT),
    _blocked(
        "text.pointer",
        gettext_noop("A Git LFS pointer in place of the file"),
        gettext_noop("Fetch the real files first: git lfs pull."),
    ),
    _warning(
        "text.secret",
        gettext_noop("It looks like a secret"),
        gettext_noop("Remove it, and change the secret: whoever reads the version can read it."),
    ),
    # Weights
    _blocked("weights.header", gettext_noop("A damaged safetensors header"), _SAVE_AGAIN),
    _blocked("weights.layout", gettext_noop("Tensors that do not fit the file"), _SAVE_AGAIN),
    _blocked(
        "weights.arpa",
        gettext_noop("An ARPA file that cannot be read"),
        gettext_noop("Write it again with lmplz or the tool that it came from."),
    ),
    _blocked("weights.type", gettext_noop("Numbers of a wrong type"), _SAVE_AGAIN),
    _blocked(
        "weights.finite",
        gettext_noop("Weights that are not finite numbers"),
        gettext_noop("Use an earlier checkpoint of the training that made them."),
    ),
    _blocked("weights.index", gettext_noop("The index does not fit the files"), _SAVE_AGAIN),
    _blocked("weights.fit", gettext_noop("Weights that do not fit the configuration"), _SAVE_AGAIN),
    _warning(
        "weights.tied",
        gettext_noop("Tied weights that differ"),
        gettext_noop("Set tie_word_embeddings as the model was trained, and save it again."),
    ),
    _note("weights.mixed", gettext_noop("Weights of several types")),
    # Configuration and tokenizer
    _blocked("model.config", gettext_noop("An unusable configuration"), _SAVE_AGAIN),
    _blocked(
        "model.type",
        gettext_noop("An architecture that is not supported"),
        gettext_noop("Import a model of one of the named types."),
    ),
    _blocked(
        "model.tokenizer",
        gettext_noop("No usable tokenizer"),
        gettext_noop("Add tokenizer.json: AutoTokenizer.from_pretrained(…).save_pretrained(…)."),
    ),
    _blocked(
        "model.vocabulary",
        gettext_noop("The tokenizer does not fit the embedding"),
        gettext_noop("Import the tokenizer that the model was trained with."),
    ),
    _blocked(
        "model.template",
        gettext_noop("An unusable chat template"),
        gettext_noop("Shorten or mend the template, or leave it out."),
    ),
    _warning(
        "model.template_reach",
        gettext_noop("A chat template that reaches for internals"),
        gettext_noop("It runs in a sandbox that refuses this; mend the template."),
    ),
    _note(
        "model.generation",
        gettext_noop("Generation settings that differ from the configuration"),
        gettext_noop("A deployment has its own settings; look whether these are meant."),
    ),
    _note("model.origin", gettext_noop("It names where it was trained from")),
    _blocked(
        "model.markov",
        gettext_noop("An n-gram or hidden Markov model that cannot be used"),
        gettext_noop("Export the version again where it was trained."),
    ),
    # Adapters
    _blocked("adapter.config", gettext_noop("An unusable adapter configuration"), _SAVE_AGAIN),
    _blocked(
        "adapter.base",
        gettext_noop("An adapter without its base"),
        gettext_noop("Choose the version that it was trained on as base version."),
    ),
    _blocked(
        "adapter.fit",
        gettext_noop("An adapter that does not fit its base"),
        gettext_noop("Choose the version that it was trained on as base version."),
    ),
    _blocked(
        "adapter.mixed",
        gettext_noop("A whole model and an adapter in one"),
        gettext_noop("Import them one by one: first the model, then the adapter with it as base."),
    ),
    # Bundles
    _blocked(
        "bundle.manifest",
        gettext_noop("A bundle without a usable list"),
        gettext_noop("Download the bundle again, and do not change or repack it."),
    ),
    _blocked(
        "bundle.schema",
        gettext_noop("A bundle of a newer kind"),
        gettext_noop("Update this console, or export the version from one that is as old."),
    ),
    _blocked(
        "bundle.digest",
        gettext_noop("A file that is not the one that the bundle lists"),
        _BUNDLE_AGAIN,
    ),
    _blocked(
        "bundle.unlisted",
        gettext_noop("A file that the bundle does not list"),
        gettext_noop("Take the file out, or download the bundle again."),
    ),
    _blocked(
        "bundle.missing", gettext_noop("A file that is missing from the bundle"), _BUNDLE_AGAIN
    ),
    _blocked("bundle.twice", gettext_noop("A file that is in the bundle twice"), _BUNDLE_AGAIN),
    _blocked(
        "bundle.base",
        gettext_noop("A bundle of an adapter without its base"),
        gettext_noop("Import the base first, or export the adapter together with its base."),
    ),
)
RULES = {rule.code: rule for rule in _ALL}
