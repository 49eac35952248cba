"""What can go wrong with stored files."""

from django.utils.translation import gettext_lazy as _

from models_app.core.errors import SlipwayError


class BlobMissing(SlipwayError):
    """A stored file is missing or damaged."""

    status = 500
    code = "blob_missing"


class StoreUnavailable(SlipwayError):
    """The store of files cannot be reached now; trying again later may help."""

    status = 503
    code = "store_unavailable"
    title = _("The store of files does not answer at the moment")


class StoreFull(StoreUnavailable):
    """There is no room for a file; nothing of it was kept. Jobs wait and try again."""

    status = 507
    code = "store_full"
    title = _("There is no room for the file")
    default = _("The disk is full. Nothing of the file was kept; make room and send it again.")
