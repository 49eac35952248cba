"""Settings of where stored files lie; see docs/reference/storage.md."""

import re

from django.core.exceptions import ImproperlyConfigured

from console.settings import env

_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.=+@-]+)*/?")
BLOB_URL = env.read_str(
    "SLIPWAY_BLOB_URL", "", "Where stored files lie: s3://bucket/prefix; the data directory if not"
).rstrip("/")
BLOB_ENDPOINT = env.read_str(
    "SLIPWAY_BLOB_ENDPOINT", "", "Address of the S3-compatible server; Amazon's own by default"
).rstrip("/")
BLOB_REGION = env.read_str("SLIPWAY_BLOB_REGION", "us-east-1", "Region of the bucket")
BLOB_KEY_ID = env.read_str(
    "SLIPWAY_BLOB_KEY_ID", "", "Access key of the bucket; without it what the machine offers"
)
BLOB_SECRET = env.read_str(
    "SLIPWAY_BLOB_SECRET", "", "Secret that belongs to the access key", secret=True
)
VERIFY_DAYS = env.read_int(
    "SLIPWAY_VERIFY_DAYS", 30, "Days within which every stored file is read and checked; 0: never"
)


def require_sound(url: str, endpoint: str, key_id: str, secret: str) -> None:
    """Loud on what cannot be meant. Raises ImproperlyConfigured that names the setting."""
    if url and not _BUCKET.fullmatch(url):
        raise ImproperlyConfigured(
            f"SLIPWAY_BLOB_URL={url!r} is not of the form s3://bucket or s3://bucket/prefix"
        )
    if endpoint and not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#@\s]*)?", endpoint):
        raise ImproperlyConfigured(
            f"SLIPWAY_BLOB_ENDPOINT={endpoint!r} is not of the form https://host:port"
        )
    if bool(key_id) != bool(secret):
        given, lacks = "SLIPWAY_BLOB_KEY_ID", "SLIPWAY_BLOB_SECRET"
        if secret:
            given, lacks = lacks, given
        raise ImproperlyConfigured(f"{given} is set, but {lacks} is not; both belong together")


require_sound(BLOB_URL, BLOB_ENDPOINT, BLOB_KEY_ID, BLOB_SECRET)
