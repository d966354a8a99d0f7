"""What goes wrong in talking to AWS, in reaper's own words.

A question that fails is a `CollectError`. An action that fails is an `ActionError`, and which one depends on whether
the request can have had effect: not connected or throttled is `ActionUnavailable`, no answer to what was sent
is `OutcomeUnknown`.

Sources: AWS's list of common errors; botocore.exceptions; aiobotocore.httpsession (what of aiohttp becomes what).
"""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any

import aiohttp

from reaper.clients.aws.operations import Operation
from reaper.errors import (
    ActionDenied,
    ActionError,
    ActionUnavailable,
    CollectError,
    OutcomeUnknown,
    SourceDenied,
    SourceMalformed,
    SourceUnavailable,
)

__all__ = ["action_error", "caught", "is_absent", "refusal", "source_error", "spoils_login"]

_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
_BUSY = frozenset(
    {
        "ConflictException",
        "IncorrectInstanceState",
        "IncorrectSpotRequestState",
        "OperationAborted",
        "ResourceInUse",
        "ResourceInUseException",
    }
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_CLOCK = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
"""The request's time is more than minutes off; EC2 says RequestExpired of temporary credentials that ended, too."""

_NOT_THERE = frozenset({"OptInRequired", "RegionDisabledException"})
"""The account has not turned the region, or the service, on."""

_AMBIGUOUS = frozenset({"AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException"})
"""Services say so of a key that they do not know, and in regions that the account has not turned on."""

_UNKNOWN_KEY = frozenset(
    {
        "AuthFailure",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)
_BAD_SIGNATURE = frozenset({"IncompleteSignature", "InvalidSignatureException", "SignatureDoesNotMatch"})
_SAYINGS: Mapping[frozenset[str], str] = {
    _EXPIRED: "the AWS credentials have expired ({}): sign in again (`aws sso login`), or renew what AWS_* or the "
    "credentials file hold; those of a role renew themselves",
    _CLOCK: "AWS finds the request out of date ({}): this host's clock is wrong (see that its time is synchronized), "
    "or temporary credentials have ended",
    _NOT_THERE: "the account has not turned this region or service on ({}): turn it on, or leave the region out",
    _AMBIGUOUS: "AWS does not know the credentials ({}): check AWS_* or the profile; or the account has "
    "not turned this region on",
    _UNKNOWN_KEY: "AWS does not know the credentials ({}): check AWS_* or the profile",
    # AWS's message repeats the request, session token included.
    _BAD_SIGNATURE: "AWS refuses the signature ({}): check the secret key and this host's clock",
}
"""What some codes mean, and what to do."""

_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "Forbidden",
        "NotAuthorized",
        "UnauthorizedOperation",
    }
)
_NO_LOGIN = frozenset(
    {
        "LoginInsufficientPermissions",
        "LoginRefreshRequired",
        "LoginTokenLoadError",
        "NoAuthTokenError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "SSOError",
        "SSOTokenLoadError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
    }
)
"""botocore's exceptions that say that there are no credentials, or none that are valid."""

_ENCODED = "Encoded authorization failure message"
"""What comes after it in a message of EC2's is a thousand characters for machines."""

_LONGEST = 240


def caught() -> tuple[type[Exception], ...]:
    """Give what a call may raise: botocore's errors, aiohttp's, and what its parsers make of garbage."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    return (
        BotoCoreError,
        ClientError,
        ResponseParserError,
        aiohttp.ClientError,
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
    )


def is_absent(error: Exception, operation: Operation) -> bool:
    """Tell whether AWS says that there is no such thing."""
    code = _code(error)
    if code is None or code in operation.absent:
        return code is not None
    message = str(_response(error)["Error"].get("Message", ""))
    return code == "ValidationException" and message.startswith(operation.absent_texts)


def spoils_login(error: Exception, region: str, proven: Collection[str]) -> bool:
    """Tell whether credentials must be looked for again: they may have been renewed since.

    Args:
        error: What came of a call.
        region: Where.
        proven: Regions where the credentials were good. Where they are good elsewhere, and never were here, it is the
            region that is not turned on.
    """
    code = _code(error)
    if code in _AMBIGUOUS and proven and region not in proven:
        return False
    return code in _EXPIRED | _CLOCK | _UNKNOWN_KEY or type(error).__name__ in _NO_LOGIN


def refusal(error: Exception, operation: Operation, region: str) -> str | None:
    """Say what an answer to `DryRun` means: why the action would fail; None: it would be carried out.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: It says nothing about that.
    """
    code = _code(error)
    if code == "DryRunOperation":
        return None
    unheard = _THROTTLED | _EXPIRED | _CLOCK | _UNKNOWN_KEY | _BAD_SIGNATURE | _NOT_THERE
    if code is None or code in unheard or _status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise source_error(error, operation, region) from error
    return f"{operation.service} {operation.name} in {region}: {_denial(error, operation) or _said(error)}"


def source_error(error: Exception, operation: Operation, region: str) -> CollectError:
    """Say why a question has no answer."""
    where = f"{operation.service} {operation.name} in {region}"
    denial = _denial(error, operation)
    if denial is not None:
        return SourceDenied(f"{where}: {denial}")
    code, status = _code(error), _status(error)
    if code is not None:
        said = f"{where}: {_said(error)}"
        if code in _THROTTLED | _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return SourceUnavailable(said)
        return SourceMalformed(said)
    if _is_garbage(error):
        return SourceMalformed(f"{where}: can't be read: {type(error).__name__}: {_text(error)}")
    return SourceUnavailable(f"{where}: {_unreached(error, region, operation.service)}")


def action_error(error: Exception, operation: Operation, region: str) -> ActionError:
    """Say how an action failed, and whether it may have had effect."""
    where = f"{operation.service} {operation.name} in {region}"
    denial = _denial(error, operation)
    if denial is not None:
        return ActionDenied(f"{where}: {denial}")
    code, status = _code(error), _status(error)
    if code is not None:
        said = f"{where}: {_said(error)}"
        if code in _THROTTLED | _BUSY or status == HTTPStatus.SERVICE_UNAVAILABLE:
            return ActionUnavailable(said)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return OutcomeUnknown(f"{said}: it may have begun")
        return ActionDenied(said)
    if type(error).__name__ == "ParamValidationError":
        return ActionDenied(f"{where}: not sent: {_text(error)}")
    if _was_not_sent(error):
        return ActionUnavailable(f"{where}: {_unreached(error, region, operation.service)}")
    return OutcomeUnknown(f"{where}: sent, but then: {_text(error)}")


def _denial(error: Exception, operation: Operation) -> str | None:
    """Say who refuses and what to do; None: nobody does."""
    code = _code(error)
    if type(error).__name__ in _NO_LOGIN:
        return (
            f"no valid AWS credentials ({_text(error)}): sign in (`aws sso login`), set AWS_* or AWS_PROFILE, "
            "or run where a role is given (instance, container)"
        )
    if type(error).__name__ in {
        "ConfigNotFound",
        "ConfigParseError",
        "InvalidConfigError",
        "ProfileNotFound",
    }:
        return f"the AWS configuration can't be used: {_text(error)}"
    for codes, said in _SAYINGS.items():
        if code in codes:
            return said.format(code)
    if code in _DENIED or _status(error) in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        needs = f"; the role needs {operation.action}" if operation.action else ""
        return f"{_said(error)}{needs}"
    return None


def _was_not_sent(error: Exception) -> bool:
    """Tell whether a request surely never reached AWS."""
    if type(error).__name__ in {
        "ConnectTimeoutError",
        "CredentialRetrievalError",
        "InvalidProxiesConfigError",
        "MetadataRetrievalError",
        "ProxyConnectionError",
        "UnknownServiceError",
        "DataNotFoundError",
        "EndpointProviderError",
        "EndpointResolutionError",
        "NoRegionError",
        "InvalidRegionError",
    }:
        return True
    cause = _cause(error)
    # aiobotocore calls a lost connection the same as one that was never made (EndpointConnectionError).
    return isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def _unreached(error: Exception, region: str, service: str) -> str:
    name = type(error).__name__
    if name == "CredentialRetrievalError":
        return f"the AWS credentials can't be had now: {_text(error)}"
    if name in {"EndpointConnectionError", "ConnectTimeoutError"}:
        endpoint = (
            "monitoring"
            if service == "cloudwatch"
            else f"{service}.api"
            if service == "sagemaker"
            else service
        )
        return (
            f"not connected: {_text(_cause(error) or error)} (without a way to the internet, the VPC needs an endpoint "
            f"for com.amazonaws.{region}.{endpoint})"
        )
    return _text(error)


def _is_garbage(error: Exception) -> bool:
    name = type(error).__name__
    return name in {
        "PaginationError",
        "ResponseParserError",
        "IncompleteReadError",
        "ParamValidationError",
    } or (
        isinstance(error, ValueError | TypeError | KeyError | AttributeError | OverflowError)
        and not isinstance(error, OSError)
        and not hasattr(error, "fmt")  # some of botocore's own are ValueErrors too
    )


def _cause(error: Exception) -> object:
    """Give what was beneath one of botocore's errors."""
    kwargs = getattr(error, "kwargs", None)
    return kwargs.get("error", error) if isinstance(kwargs, dict) else error


def _response(error: Exception) -> dict[str, Any]:
    response = getattr(error, "response", None)
    return response if isinstance(response, dict) and "Error" in response else {}


def _code(error: Exception) -> str | None:
    """Give AWS's own error code; None where AWS did not answer."""
    response = _response(error)
    return str(response["Error"].get("Code", "")) if response else None


def _status(error: Exception) -> int:
    status = _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status if isinstance(status, int) else 0


def _said(error: Exception) -> str:
    code = _code(error)
    message = str(_response(error)["Error"].get("Message", "")).partition(_ENCODED)[0].strip()
    message = _clip(message)
    kind = "throttled, " if code in _THROTTLED else ""
    return f"{kind}{code or _status(error)}{f': {message}' if message else ''}"


def _text(error: object) -> str:
    return _clip(str(error)) or type(error).__name__


def _clip(text: str) -> str:
    """Shorten a text and make it printable. Pure."""
    shown = "".join(c if c.isprintable() else " " for c in text[:_LONGEST])
    return shown if len(text) <= _LONGEST else f"{shown}..."
