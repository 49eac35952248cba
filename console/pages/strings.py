"""Strings that the scripts show, translated on the server and handed over as JSON."""

from django.utils.translation import gettext as _


def script_strings() -> dict[str, str]:
    """Every text of static/js; placeholders are %s or %(name)s."""
    return {
        "copied": _("Copied"),
        "copyFailed": _("Copying was refused by the browser. Select the text and copy it by hand."),
        "done": _("Done"),
        "typeToConfirm": _("Type %s to confirm"),
        "reason": _("Reason"),
        "nothingFound": _("Nothing found"),
        "searching": _("Searching…"),
        "searchFailed": _("The search does not answer. Only pages and commands are listed."),
        "live": _("Live"),
        "reconnecting": _("Reconnecting…"),
        "signedOut": _("Signed out"),
        "stale": _("What you see is from %s. Missed changes are fetched on return."),
        "signInAgain": _("Your session has ended. Sign in again to see changes."),
        "matches": _("%(now)s of %(all)s"),
        "noMatches": _("No matches"),
        "newLines": _("%s new lines"),
        "follow": _("Follow"),
        "following": _("Following"),
        "loadEarlier": _("Load earlier lines"),
        "loading": _("Loading…"),
        "logGap": _("Lines %(from)s to %(to)s could not be loaded"),
        "logFailed": _("The log could not be loaded. Trying again in a few seconds."),
        "logNoHit": _("No line matches"),
        "logHit": _("1 line found"),
        "logHits": _("%(count)s lines found"),
        "logHitsSoFar": _("Lines found so far: %(count)s, %(share)s of the log searched"),
        "logSearchFailed": _("The search does not answer. Try again."),
        "refreshFailed": _("This part could not be refreshed. The next change tries again."),
        "noValues": _("No values yet"),
        "unknownError": _("Something went wrong. Try again."),
        "stopped": _("Stopped"),
        "you": _("You"),
        "assistant": _("Assistant"),
        "streaming": _("Streaming"),
        "connectionLost": _("The connection broke before the answer was complete. Send again."),
        "cached": _("cached"),
        "filesChosen": _("%(count)s files"),
        "uploading": _("%(percent)s at %(speed)s/s, %(left)s left"),
        "uploadStoring": _("All is sent. The files are being stored…"),
        "uploadFailed": _("The upload did not succeed"),
        "uploadBroken": _("The connection broke. Nothing was made; send again."),
        "uploadStopped": _("The upload is stopped. Nothing was made."),
        "uploadTooLarge": _(
            "%(size)s are too much at once; at most %(limit)s. Pack the files with gzip or zstd, "
            "or use files on the server."
        ),
    }
