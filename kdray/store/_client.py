"""The connection to an S3 server: settings of the URI, and its refusals in words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from kdray.errors import StoreError

#: Settings of a URI, of the names that pyarrow gives them.
SETTINGS = (
    "access_key",
    "allow_bucket_creation",
    "allow_bucket_deletion",
    "anonymous",
    "connect_timeout",
    "endpoint_override",
    "force_virtual_addressing",
    "region",
    "request_timeout",
    "scheme",
    "secret_key",
    "session_token",
)
#: Those that may stand in a URI for pyarrow; the rest it takes from the environment.
ARROW_SETTINGS = (
    "allow_bucket_creation",
    "allow_bucket_deletion",
    "endpoint_override",
    "region",
    "scheme",
)
_CONNECT_S = 5.0
_ANSWER_S = 30.0
_TRIES = 3
_KEYS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
_CERTIFICATE = "Name the authority of its certificate in AWS_CA_BUNDLE, or say ?scheme=http."
_EXPIRED = ("the session token has expired.", "Log in again.")
_BUSY = (
    "the server is overloaded, and stayed so through all tries.",
    "Run the same command again later, or let fewer workers or trials run at once.",
)
#: Refusals that may be gone a moment later; so may those of the statuses below.
_PASSING = ("SlowDown", "RequestTimeout", "InternalError", "OperationAborted", "ServerBusy")
_PASSING_STATUSES = (429, 500, 502, 503, 504)
_SAID = {
    "NoSuchBucket": ("there is no bucket {bucket!r}.", "Make it, or correct the URI."),
    "404": ("there is no such file.", ""),
    "AccessDenied": ("the server does not allow it with these credentials.", _KEYS),
    "403": ("the server does not allow it with these credentials.", _KEYS),
    "InvalidAccessKeyId": ("the server does not know the access key.", _KEYS),
    "InvalidClientTokenId": ("the server does not know the access key.", _KEYS),
    "SignatureDoesNotMatch": ("the secret key is wrong.", _KEYS),
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": ("the session token is not one of this server.", "Log in again."),
    "400": (  # the answer to a question of size, which has no body to say more
        "the server refuses the request, as it does where a session token has expired.",
        "Log in again.",
    ),
    "RequestTimeTooSkewed": (
        "the clocks of this machine and of the server differ too much.",
        "Set this machine's clock.",
    ),
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    "ServerBusy": _BUSY,
    "503": _BUSY,
    "PermanentRedirect": (
        "the bucket {bucket!r} is in another region.",
        "Name it: ?region=... or AWS_DEFAULT_REGION.",
    ),
    "AuthorizationHeaderMalformed": (
        "the bucket {bucket!r} is in another region.",
        "Name it: ?region=... or AWS_DEFAULT_REGION.",
    ),
    "NotImplemented": (
        "the server knows no conditional writes.",
        "Use one that honours If-Match and If-None-Match, or a folder.",
    ),
}


def client_of(settings: Mapping[str, str], where: str, check_only: bool = False) -> Any:
    """Return a connection that gives up soon where nobody answers.

    What the settings leave out is taken from the usual environment variables and files of AWS.

    Args:
        settings: Of the URI; see ``SETTINGS``.
        where: What messages call the storage.
        check_only: Only check the settings.

    Raises:
        StoreError: A setting is not known.
    """
    strange = sorted(set(settings) - set(SETTINGS))
    if strange:
        known = f"They are: {', '.join(SETTINGS)}."
        raise StoreError(where, f"S3 has no setting {strange[0]!r}.", known)
    if check_only:
        return None
    import boto3
    from botocore.exceptions import BotoCoreError

    try:  # not boto3.client: its shared session may not be used by several threads
        return boto3.session.Session().client(
            "s3",
            endpoint_url=_endpoint(settings),
            region_name=settings.get("region") or os.environ.get("AWS_REGION"),
            aws_access_key_id=settings.get("access_key"),
            aws_secret_access_key=settings.get("secret_key"),
            aws_session_token=settings.get("session_token"),
            config=_config(settings),
        )
    except (BotoCoreError, ValueError) as error:
        raise StoreError(where, f"cannot be reached: {error}.") from error


def is_passing(error: Exception, heard: bool) -> bool:
    """Return whether what made a request fail may be gone a moment later.

    Args:
        error: What boto3 raised.
        heard: Whether the server has ever answered: then it is there, and no name is wrong.
    """
    from botocore import exceptions

    cause = _cause(error)
    if isinstance(cause, exceptions.ClientError):
        status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return _code(cause) in _PASSING or status in _PASSING_STATUSES
    if isinstance(cause, exceptions.SSLError):
        return False
    if isinstance(cause, exceptions.ResponseStreamingError | exceptions.IncompleteReadError):
        return True
    return heard and isinstance(cause, exceptions.ConnectionError | exceptions.HTTPClientError)


def problem_of(error: Exception, bucket: str, settings: Mapping[str, str]) -> tuple[str, str]:
    """Return what a failed request says, and what to do about it.

    Args:
        error: What boto3 raised.
        bucket: The bucket that was asked for.
        settings: Of the URI.
    """
    from botocore import exceptions

    cause = _cause(error)
    if _code(cause) in _SAID:
        problem, remedy = _SAID[_code(cause)]
        return problem.format(bucket=bucket), remedy
    if isinstance(cause, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return "there are no credentials for it.", _KEYS
    if isinstance(cause, exceptions.SSLError):
        return f"{cause}.", _CERTIFICATE
    if isinstance(cause, exceptions.ProxyConnectionError):
        return f"{cause}.", "Correct HTTPS_PROXY, or name the server in NO_PROXY."
    server = _endpoint(settings) or os.environ.get("AWS_ENDPOINT_URL") or "the S3 server"
    silent = (exceptions.EndpointConnectionError, exceptions.ConnectTimeoutError)
    if isinstance(cause, (*silent, exceptions.ReadTimeoutError, exceptions.ConnectionError)):
        return f"{server} does not answer.", "Check ?endpoint_override=... or AWS_ENDPOINT_URL."
    if is_passing(cause, heard=True) and not isinstance(cause, exceptions.ClientError):
        return f"{server} ends the connection before all is said, at every try.", ""
    return f"{cause}.", ""


def _cause(error: Exception) -> Exception:
    """Return what made a transfer fail: boto3 tells of several parts by an error of its own."""
    from boto3.exceptions import RetriesExceededError, S3UploadFailedError

    found: object = error
    if isinstance(error, RetriesExceededError):
        found = error.last_exception
    elif isinstance(error, S3UploadFailedError):
        found = error.__context__
    return found if isinstance(found, Exception) else error


def _code(error: Exception) -> str:
    response = getattr(error, "response", None) or {}  # None on one that had no answer
    return str(response.get("Error", {}).get("Code", ""))


def _endpoint(settings: Mapping[str, str]) -> str | None:
    host = settings.get("endpoint_override")
    if not host or "://" in host:
        return host or None
    return f"{settings.get('scheme', 'https')}://{host}"


def _config(settings: Mapping[str, str]) -> Any:
    from botocore import UNSIGNED
    from botocore.config import Config

    more: dict[str, Any] = {}
    if _is_set(settings, "anonymous"):
        more["signature_version"] = UNSIGNED
    if _is_set(settings, "force_virtual_addressing"):
        more["s3"] = {"addressing_style": "virtual"}
    return Config(
        connect_timeout=float(settings.get("connect_timeout", _CONNECT_S)),
        read_timeout=float(settings.get("request_timeout", _ANSWER_S)),
        retries={"mode": "standard", "total_max_attempts": _TRIES},
        **more,
    )


def _is_set(settings: Mapping[str, str], name: str) -> bool:
    return settings.get(name, "").lower() in ("1", "true", "yes")
