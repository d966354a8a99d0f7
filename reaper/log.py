"""structlog set-up: to stderr, as JSON or for people, and never a secret.

Importing this costs nothing: structlog itself is imported by `configure`.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Literal, TextIO

__all__ = ["MASK", "configure"]

MASK = "**********"
"""What stands in the place of a secret; the same as pydantic's `SecretStr`."""

Format = Literal["auto", "json", "console"]
Level = Literal["debug", "info", "warning", "error", "critical"]

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Of syslog, as systemd reads them from `<N>` at the beginning of a line (sd-daemon(3))."""

_CHATTY = {
    "aiobotocore": "WARNING",
    "aiohttp.access": "WARNING",
    "asyncio": "INFO",
    "botocore": "WARNING",
    "pydantic_settings": "INFO",
    "urllib3": "WARNING",
}
"""Loggers of others that are held at this at least: at `debug` some write headers, and with them secrets."""

_TELLING = r"(?:token|password|passwd|secret|authorization|cookie|xsrf|api_?key|access_?key|credentials?)"
"""Names of what is secret."""

_SECRET_KEY = re.compile(rf"(?:^|[._-]){_TELLING}$", re.IGNORECASE)

_IN_TEXT = re.compile(
    r"(?P<before>"
    rf"\b(?:[\w.-]*[._-])?{_TELLING}="  # token=..., ?token=..., _xsrf=...
    rf"|['\"](?:[\w.-]*[._-])?{_TELLING}['\"]:\s*['\"](?:(?:token|bearer|basic)\s+)?"  # a dict's repr, JSON
    r"|\bauthorization:\s*(?:token|bearer|basic)\s+"
    r"|[?&]x-amz-(?:signature|security-token|credential)="
    r"|://[^/\s:@]*:(?=[^/\s@]+@)"  # https://user:password@host
    r")[^&\s'\"@]+",
    re.IGNORECASE,
)
"""Where secrets stand in texts that others wrote."""

_SHORTEST_SECRET = 4
"""Shorter values are not looked for in texts: they would be found in half of the words."""

_DEEPEST = 6

_HANDLER = "reaper"

EventDict = MutableMapping[str, Any]
Processor = Callable[[Any, str, EventDict], Any]


def configure(
    format: Format = "auto",  # noqa: A002 - the setting's name
    level: Level = "info",
    *,
    stream: TextIO | None = None,
    secrets: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
) -> None:
    """Send all logs, ours and the standard library's, to one stream. May be called again, as at a reload.

    Args:
        format: `json`, `console`, or `auto`: console on a terminal, else json.
        level: The least that is logged.
        stream: stderr by default; stdout belongs to the JSON of commands.
        secrets: Values that must never be written, wherever they stand (`Settings.secret_values`).
        environ: For `JOURNAL_STREAM` and `NO_COLOR`.
    """
    import logging

    import structlog

    stream = sys.stderr if stream is None else stream
    environ = os.environ if environ is None else environ
    on_terminal = _is_terminal(stream)
    as_json = format == "json" or (format == "auto" and not on_terminal)
    render = _json() if as_json else _console(colors=on_terminal and not environ.get("NO_COLOR"))
    if goes_to_journal(stream, environ):
        render = _with_priority(render)
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # plain: rich's would write the values of local variables
        _mask(secrets),
    ]
    structlog.configure(
        processors=[_add_logger_name, *before, _in_order, render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *names: _StreamLogger(stream, names[0] if names else None),
        cache_logger_on_first_use=False,  # a reload must reach loggers that modules keep
    )
    handler = _handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                _without_message,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *before,
                _in_order,
                render,
            ],
        )
    )
    root = logging.getLogger()
    for old in [one for one in root.handlers if one.get_name() == _HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_LEVELS[level])
    for name, least in _CHATTY.items():
        logging.getLogger(name).setLevel(max(_LEVELS[level], _LEVELS[least.lower()]))


def goes_to_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether a stream is systemd's journal: `JOURNAL_STREAM` holds its device and inode (systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


# Writing


class _StreamLogger:
    """Writes lines. A log that can't be written (a full disk, a closed pipe) must not end the daemon."""

    def __init__(self, stream: TextIO, name: str | None) -> None:
        self.name = name
        self._stream = stream

    def msg(self, message: str) -> None:
        _write(self._stream, message)

    debug = info = warning = warn = error = critical = exception = fatal = log = failure = err = msg


def _handler(stream: TextIO) -> Any:
    """Make the standard library's handler; a class in a function, so that importing us does not import logging."""
    import logging

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                line = self.format(record)
            except Exception:  # noqa: BLE001 - somebody's record that can't be formatted must not end the daemon
                line = f'{{"level":"error","event":"log record unreadable","logger":"{record.name}"}}'
            _write(stream, line)

    handler = Handler()
    handler.set_name(_HANDLER)
    return handler


def _write(stream: TextIO, message: str) -> None:
    try:
        stream.write(message + "\n")
        stream.flush()
    except (AttributeError, OSError, ValueError):  # no stream at all, full or broken, closed
        pass


# Processors


def _add_logger_name(logger: Any, _method: str, event: EventDict) -> EventDict:
    if getattr(logger, "name", None):
        event.setdefault("logger", logger.name)
    return event


def _without_message(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Leave out what another handler's formatter may have put into a record: it is the event once more."""
    event.pop("message", None)
    event.pop("asctime", None)
    return event


def _in_order(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Put what every line has in front."""
    first = [key for key in ("timestamp", "level", "event", "logger") if key in event]
    return {key: event[key] for key in (*first, *(key for key in event if key not in first))}


def _mask(secrets: Iterable[str]) -> Processor:
    """Make the processor that turns an event into plain values without secrets.

    It knows a secret by its type (anything with `get_secret_value`), by its key, by where it stands in a text, and
    by its value. Objects become text here and not in the renderer, so that their text is looked through too.
    """
    values = sorted({one for one in secrets if len(one) >= _SHORTEST_SECRET}, key=len, reverse=True)
    known = re.compile("|".join(map(re.escape, values))) if values else None

    def text(value: str) -> str:
        if known is not None:
            value = known.sub(MASK, value)
        return _IN_TEXT.sub(rf"\g<before>{MASK}", value)

    def plain(value: Any, depth: int) -> Any:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if hasattr(value, "get_secret_value"):
            return MASK
        if isinstance(value, Mapping) and depth < _DEEPEST:
            return {
                text(str(key)): MASK if _hides(key, item) else plain(item, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple, set, frozenset)) and depth < _DEEPEST:
            return [plain(item, depth + 1) for item in value]
        return text(str(value))

    def mask(_logger: Any, _method: str, event: EventDict) -> EventDict:
        return {text(str(key)): MASK if _hides(key, item) else plain(item, 0) for key, item in event.items()}

    return mask


def _hides(key: object, value: object) -> bool:
    """Tell whether a key says that its value is a secret; nothing and yes or no are none."""
    return value is not None and not isinstance(value, bool) and _SECRET_KEY.search(str(key)) is not None


def _json() -> Processor:
    import structlog

    return structlog.processors.JSONRenderer(ensure_ascii=False)


def _console(*, colors: bool) -> Processor:
    import structlog

    renderer = structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback, timestamp_key="timestamp"
    )

    def render(logger: Any, method: str, event: EventDict) -> str:
        shown = {key: _printable(value) if isinstance(value, str) else value for key, value in event.items()}
        return str(renderer(logger, method, shown))

    return render


def _printable(text: str) -> str:
    """Replace what would move the cursor or change colours: names come from people and servers."""
    return "".join(one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text)


def _with_priority(render: Processor) -> Processor:
    def prefixed(logger: Any, method: str, event: EventDict) -> str:
        prefix = f"<{_PRIORITIES.get(str(event.get('level')), 6)}>"
        return "\n".join(prefix + line for line in str(render(logger, method, event)).split("\n"))

    return prefixed
