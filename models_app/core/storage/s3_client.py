"""A connection to an S3-compatible server; its errors in our words. Imported only where one is set.

Checksums that not every server knows are left out: each request carries Content-MD5, which all of
them check, and the digest of a whole file is ours.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from models_app.core.storage.errors import StoreUnavailable

CONNECT_S, READ_S, TRIES = 5, 60, 4
#: The same for requests that are made while a lock is held alone.
HASTY_S = 10
#: What is absent; the server's words for it.
ABSENT = {"404", "NoSuchKey", "NotFound"}
#: Codes of refusals, and the settings to look at.
_SETTINGS = {
    "NoSuchBucket": "SLIPWAY_BLOB_URL: there is no such bucket",
    "InvalidBucketName": "SLIPWAY_BLOB_URL: this is no name of a bucket",
    "InvalidAccessKeyId": "SLIPWAY_BLOB_KEY_ID: the server does not know this key",
    "SignatureDoesNotMatch": "SLIPWAY_BLOB_SECRET: it does not belong to SLIPWAY_BLOB_KEY_ID",
    "AccessDenied": "SLIPWAY_BLOB_KEY_ID: this key may not do that in the bucket",
    "403": "SLIPWAY_BLOB_KEY_ID and SLIPWAY_BLOB_SECRET: the server refuses them",
    "AuthorizationHeaderMalformed": "SLIPWAY_BLOB_REGION: the bucket is in another region",
    "PermanentRedirect": "SLIPWAY_BLOB_REGION or SLIPWAY_BLOB_ENDPOINT: the bucket is elsewhere",
    "301": "SLIPWAY_BLOB_REGION or SLIPWAY_BLOB_ENDPOINT: the bucket is elsewhere",
}


def connect(*, endpoint: str, region: str, key_id: str, secret: str, hasty: bool = False) -> Any:
    """A client; it connects when it is used. Safe for threads. `hasty`: one try, soon over."""
    session = boto3.session.Session()
    return session.client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=region,
        aws_access_key_id=key_id or None,
        aws_secret_access_key=secret or None,
        config=Config(
            connect_timeout=CONNECT_S,
            read_timeout=HASTY_S if hasty else READ_S,
            retries={"mode": "standard", "total_max_attempts": 1 if hasty else TRIES},
            s3={"addressing_style": "path" if endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=16,
        ),
    )


@contextlib.contextmanager
def told(place: str) -> Iterator[None]:
    """Whatever the server or the way to it says becomes StoreUnavailable; absence stays."""
    try:
        yield
    except ClientError as error:
        if is_absent(error):
            raise
        raise StoreUnavailable(f"{place}: {explain(error)}") from error
    except BotoCoreError as error:
        raise StoreUnavailable(f"{place}: {explain(error)}") from error


def is_absent(error: ClientError) -> bool:
    """Whether it says that there is no such object."""
    return code_of(error) in ABSENT


def code_of(error: ClientError) -> str:
    """The server's word for what went wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))


def explain(error: Exception) -> str:
    """What is wrong, with the setting to look at; never a secret."""
    if not isinstance(error, ClientError):
        return f"SLIPWAY_BLOB_ENDPOINT: {error}"
    code = code_of(error)
    if code in _SETTINGS:
        return _SETTINGS[code]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
    return f"the server answers {status} {code}".rstrip()
