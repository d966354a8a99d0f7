"""Errors as `application/problem+json` (RFC 9457), and which of ours becomes which."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from reaper.core.codec import to_json
from reaper.errors import ConfigError, ControlError, JournalError, ReaperError, UsageError

__all__ = ["Problem", "problem_of"]

_LONGEST_INSTANCE = 200


class Problem(Exception):
    """An answer that says what went wrong.

    Args:
        status: HTTP status.
        code: Stable and short; ends the problem's `type`: `urn:reaper:problem:wrong-host`.
        detail: What was wrong and what to do, for a person; holds no secret.
        more: Further members of the document.
        headers: Headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        more: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.more = dict(more or {})
        self.headers = dict(headers or {})

    def response(self, request: web.Request) -> web.Response:
        """Give the answer."""
        document = {
            "type": f"urn:reaper:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": request.rel_url.raw_path[:_LONGEST_INSTANCE],
            **self.more,
        }
        return web.Response(
            status=self.status,
            body=json.dumps(document, default=to_json).encode(),
            content_type="application/problem+json",
            headers=self.headers,
        )


def problem_of(error: ReaperError, *, names_resource: bool) -> Problem | None:
    """Turn an error of the daemon's into a problem; None: it is one that nobody expected here.

    Args:
        error: What the daemon raised.
        names_resource: The only part of the request that can still be wrong is a name: it names nothing.
    """
    detail = str(error)
    if isinstance(error, UsageError):
        if error.candidates:
            return Problem(HTTPStatus.CONFLICT, "ambiguous", detail, more={"candidates": error.candidates})
        if names_resource:
            return Problem(HTTPStatus.NOT_FOUND, "no-such-resource", detail)
        return Problem(HTTPStatus.BAD_REQUEST, "bad-request", detail)
    if isinstance(error, ConfigError):
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "bad-setting", detail)
    if isinstance(error, ControlError):
        return Problem(HTTPStatus.CONFLICT, "refused", detail)
    if isinstance(error, JournalError):
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "journal", detail)
    return None
