"""JSON in and JSON out: bodies are checked before the daemon sees them, long answers come in slices."""

import asyncio
import difflib
import json
from collections.abc import Collection, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from reaper.core.codec import to_json
from reaper.core.durations import parse_duration
from reaper.web.problem import Problem

__all__ = ["MAX_BODY_BYTES", "answer", "bad_field", "only_fields", "read_object", "seconds", "slices", "text"]

MAX_BODY_BYTES = 1024 * 1024
"""A plan to apply is by far the longest: room for some 2,000 acts."""

BODY_DEADLINE_S = 10.0
"""A client that stops in the middle of its body does not keep us waiting."""

SLICE = 200
"""Items of a list that are written at once: a status row takes about 10 us, so the loop waits some 2 ms."""

LONGEST_DURATION_S = 36500 * 86400.0
"""A hundred years, as in `parse_duration`: beyond it instants can't be computed."""


async def read_object(request: web.Request, *, optional: bool = False) -> dict[str, Any]:
    """Read the body as one JSON object, whatever its Content-Type says (`curl -d` sends a form's).

    Args:
        request: Whose body.
        optional: No body at all is `{}`.

    Raises:
        Problem: 400, 408 or 413.
    """
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(max_size=MAX_BODY_BYTES, actual_size=request.content_length or 0)
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            raw = await request.read()
    except TimeoutError:
        raise Problem(
            HTTPStatus.REQUEST_TIMEOUT, "slow-body", f"the body was not there within {BODY_DEADLINE_S:g} s"
        ) from None
    except (web.RequestPayloadError, ConnectionError):
        raise Problem(HTTPStatus.BAD_REQUEST, "bad-body", "the body broke off, or is malformed") from None
    if optional and not raw.strip():
        return {}
    try:
        document = json.loads(raw.decode(), parse_constant=_refuse_constant, object_pairs_hook=_without_twins)
    except UnicodeDecodeError:
        raise Problem(HTTPStatus.BAD_REQUEST, "bad-json", "the body is not UTF-8") from None
    except RecursionError:
        raise Problem(HTTPStatus.BAD_REQUEST, "bad-json", "the body is nested too deeply") from None
    except ValueError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "bad-json", f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise Problem(
            HTTPStatus.BAD_REQUEST, "bad-body", f"the body must be a JSON object, not {_json_type(document)}"
        )
    return document


def only_fields(document: Mapping[str, object], known: Collection[str]) -> None:
    """Refuse fields that mean nothing here: a misspelt `for_s` would otherwise be a hold without an end.

    Raises:
        Problem: 400, with the nearest known name.
    """
    for name in document:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}"
            raise bad_field(name[:100], f"is not a field of this request; {hint}")


def text(document: Mapping[str, object], name: str, *, longest: int = 1000) -> str | None:
    """Read a field that is text; None if missing or null.

    It ends up in the journal, logs and terminals: what is no UTF-8, or moves a cursor, is refused.

    Raises:
        Problem: 400.
    """
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise bad_field(name, f"must be text, not {_json_type(value)}")
    if len(value) > longest:
        raise bad_field(name, f"is longer than {longest} characters")
    if any(ord(character) < ord(" ") or 0x7F <= ord(character) < 0xA0 for character in value):  # noqa: PLR2004 - C0, DEL, C1
        raise bad_field(name, "holds control characters")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in value):  # noqa: PLR2004 - lone surrogates
        raise bad_field(name, "holds half a character (a lone surrogate)")
    return value


def seconds(document: Mapping[str, object]) -> float | None:
    """Read how long: `for_s` is a number of seconds, `for` a duration with its unit; None without either.

    Raises:
        Problem: 400: both, not more than zero, no unit, not a number.
    """
    number, words = document.get("for_s"), document.get("for")
    if number is not None and words is not None:
        raise bad_field("for", "and 'for_s' say the same; give one of them")
    if words is not None:
        return _from_words(words)
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        hint = "; a duration with a unit goes into 'for'" if isinstance(number, str) else ""
        raise bad_field("for_s", f"must be a number of seconds, not {_json_type(number)}{hint}")
    if not 0 < number <= LONGEST_DURATION_S:  # an endless one or NaN fails here too
        raise bad_field("for_s", "must be more than 0 and at most a hundred years")
    return float(number)


async def answer(document: Mapping[str, object], *, status: int = HTTPStatus.OK) -> web.Response:
    """Make the JSON answer; gives the loop back between slices: 10,000 resources take a fifth of a second."""
    parts: list[bytes] = []
    for part in slices(document):
        parts.append(part.encode())
        await asyncio.sleep(0)
    return web.Response(status=status, body=b"".join(parts), content_type="application/json")


def slices(document: Mapping[str, object]) -> Iterator[str]:
    """Write a document as JSON, piece by piece: long lists right below the top come `SLICE` items at a time.

    The standard library's encoder is one call of C that never lets another thread or task in; its
    own `iterencode` is pure Python and ten times slower.
    """
    opening = "{"
    for name, value in document.items():
        head, opening = f"{opening}{_dumps(str(name))}:", ","
        if not isinstance(value, (list, tuple)) or len(value) <= SLICE:
            yield head + _dumps(value)
            continue
        yield f"{head}["
        for start in range(0, len(value), SLICE):
            yield ("," if start else "") + _dumps(value[start : start + SLICE])[1:-1]
        yield "]"
    yield "{}" if opening == "{" else "}"


def _dumps(value: object) -> str:
    return json.dumps(value, default=to_json, separators=(",", ":"), allow_nan=False)


def _from_words(words: object) -> float:
    if not isinstance(words, str):
        raise bad_field(
            "for", f"must be a duration such as '2h', not {_json_type(words)}; seconds go into 'for_s'"
        )
    try:
        duration = parse_duration(words[:100]).total_seconds()
    except ValueError as error:
        raise bad_field("for", str(error)) from None
    if duration <= 0:
        raise bad_field("for", "must be more than zero")
    return duration


def bad_field(name: str, what: str) -> Problem:
    """Make the problem of a field: 400, with its name as `field`."""
    return Problem(HTTPStatus.BAD_REQUEST, "bad-field", f"{name!r} {what}", more={"field": name})


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    for kind, name in ((bool, "true or false"), (int, "a number"), (float, "a number"), (str, "text")):
        if isinstance(value, kind):
            return name
    return "a list" if isinstance(value, list) else "an object"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON value")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a field is given twice")
    return document
