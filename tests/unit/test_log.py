"""The log: to one stream, as JSON or for people, with systemd's priorities, and never a secret."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given, strategies as st
from pydantic import SecretStr

from reaper import log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    structlog.reset_defaults()
    root.setLevel(level)
    for handler in list(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _configured(format_: str = "json", level: str = "info", **more: Any) -> io.StringIO:
    stream: io.StringIO = more.pop("stream", io.StringIO())
    log.configure(format_, level, stream=stream, environ=more.pop("environ", {}), **more)  # type: ignore[arg-type]
    return stream


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().split("\n") if line]


def _raise(error: Exception) -> None:
    raise error


def test_json_has_what_every_line_has_in_front() -> None:
    stream = _configured()
    structlog.get_logger("reaper.look").info("source failed", source="jupyter:http://a/", polls=3, error=None)
    [line] = _lines(stream)
    assert list(line) == ["timestamp", "level", "event", "logger", "source", "polls", "error"]
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["event"], line["logger"]) == ("info", "source failed", "reaper.look")
    assert (line["source"], line["polls"], line["error"]) == ("jupyter:http://a/", 3, None)


def test_the_standard_librarys_logs_look_the_same() -> None:
    stream = _configured()
    logging.getLogger("aiohttp.server").error(
        "request %s broke", "x", extra={"peer": "1.2.3.4", "token": "abc"}
    )
    [line] = _lines(stream)
    assert list(line) == ["timestamp", "level", "event", "logger", "peer", "token"]
    assert (line["event"], line["logger"], line["token"]) == ("request x broke", "aiohttp.server", log.MASK)


@pytest.mark.parametrize(
    ("level", "expected"),
    [("debug", 5), ("info", 4), ("warning", 3), ("error", 2), ("critical", 1)],
)
def test_the_level_holds_for_both(level: str, expected: int) -> None:
    stream = _configured(level=level)
    for logger in (structlog.get_logger("a"), logging.getLogger("a")):
        for name in ("debug", "info", "warning", "error", "critical"):
            getattr(logger, name)("happened")
    assert len(_lines(stream)) == 2 * expected


@pytest.mark.parametrize(
    "name", ["botocore.auth", "aiohttp.access", "asyncio", "pydantic_settings", "urllib3"]
)
def test_those_who_write_headers_or_every_request_are_held_back(name: str) -> None:
    stream = _configured(level="debug")
    logging.getLogger(name).debug("GET / with everything")
    assert stream.getvalue() == ""
    logging.getLogger(name).error("it broke")
    assert len(_lines(stream)) == 1


def test_configured_again_it_writes_once_and_modules_loggers_follow() -> None:
    first, logger = _configured(), structlog.get_logger("kept")
    logger.debug("unheard")
    second = _configured(level="debug")
    logger.debug("heard")
    logging.getLogger("b").info("heard")
    assert first.getvalue() == ""
    assert [line["event"] for line in _lines(second)] == ["heard", "heard"]


class TestFormat:
    def test_auto_is_console_on_a_terminal(self) -> None:
        stream = _configured("auto", stream=Terminal())
        structlog.get_logger("a").info("looked", polls=3)
        assert "looked" in stream.getvalue()
        assert "\x1b[" in stream.getvalue()
        with pytest.raises(ValueError, match="Expecting value"):
            json.loads(stream.getvalue())

    def test_no_color_is_respected(self) -> None:
        stream = _configured("auto", stream=Terminal(), environ={"NO_COLOR": "1"})
        structlog.get_logger("a").info("looked", polls=3)
        assert "\x1b" not in stream.getvalue()

    def test_auto_is_json_elsewhere(self) -> None:
        stream = _configured("auto")
        structlog.get_logger("a").info("looked")
        assert _lines(stream)

    def test_console_can_be_had_without_a_terminal(self) -> None:
        stream = _configured("console")
        structlog.get_logger("a").info("looked", polls=3)
        assert "polls=3" in stream.getvalue()
        assert "\x1b" not in stream.getvalue()

    def test_what_would_move_the_cursor_is_replaced(self) -> None:
        stream = _configured("console")
        structlog.get_logger("a").info("looked", name="x\x1b[2Jy", path="a\rb")
        logging.getLogger("b").info("\x1b]0;title\x07")
        assert "\x1b" not in stream.getvalue()
        assert "\x07" not in stream.getvalue()

    @pytest.mark.parametrize("format_", ["json", "console"])
    def test_exceptions_are_written_without_local_variables(self, format_: str) -> None:
        stream = _configured(format_)
        password = "not for " + "the log"
        try:
            _raise(RuntimeError("boom" + password[:0]))
        except RuntimeError:
            structlog.get_logger("a").exception("broke")
            logging.getLogger("b").exception("broke")
        assert stream.getvalue().count("RuntimeError: boom") == 2
        assert "not for the log" not in stream.getvalue()

    def test_it_is_stderr_and_never_stdout(self, capsys: pytest.CaptureFixture[str]) -> None:
        log.configure("json")
        structlog.get_logger("a").info("looked")
        print_goes_elsewhere = capsys.readouterr()
        assert print_goes_elsewhere.out == ""
        assert "looked" in print_goes_elsewhere.err


class TestJournal:
    def _write(self, tmp_path: Path, journal_stream: str | None, format_: str = "json") -> list[str]:
        with (tmp_path / "log").open("w+", encoding="utf-8") as stream:
            found = os.fstat(stream.fileno())
            ours = journal_stream or f"{found.st_dev}:{found.st_ino}"
            log.configure(format_, "debug", stream=stream, environ={"JOURNAL_STREAM": ours})  # type: ignore[arg-type]
            logger = structlog.get_logger("a")
            for name in ("debug", "info", "warning", "error", "critical"):
                getattr(logger, name)("happened")
            logging.getLogger("b").warning("happened\nto us")
            stream.seek(0)
            return stream.read().splitlines()

    def test_lines_have_priorities(self, tmp_path: Path) -> None:
        lines = self._write(tmp_path, None)
        assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>", "<2>", "<4>"]
        assert all(json.loads(line[3:]) for line in lines)

    def test_each_line_of_several_has_one(self, tmp_path: Path) -> None:
        lines = self._write(tmp_path, None, "console")
        assert [line[:3] for line in lines[-2:]] == ["<4>", "<4>"]

    def test_another_stream_has_none(self, tmp_path: Path) -> None:
        """The variable is inherited by all that systemd starts; a redirected stderr is not the journal."""
        assert all(line.startswith("{") for line in self._write(tmp_path, "1:2"))

    def test_what_has_no_file_is_no_journal(self) -> None:
        assert not log.goes_to_journal(io.StringIO(), {"JOURNAL_STREAM": "1:2"})


class TestSecrets:
    @pytest.mark.parametrize(
        "fields",
        [
            {"value": SecretStr("s3cr3t")},
            {"value": [SecretStr("s3cr3t"), {"deep": SecretStr("s3cr3t")}]},
            {"token": "s3cr3t"},
            {"api_token": "s3cr3t"},
            {"jupyter.token": "s3cr3t"},
            {"Authorization": "token s3cr3t"},
            {"headers": {"Authorization": "token s3cr3t", "Cookie": "_xsrf=s3cr3t"}},
            {"headers": [("Authorization: Bearer s3cr3t", 1)]},
            {"password": "s3cr3t"},
            {"aws_secret_access_key": "s3cr3t"},
            {"url": "http://a:8888/lab?token=s3cr3t&x=1"},
            {"url": "https://user:s3cr3t@a/"},
            {"error": OSError("can't connect to http://a/?token=s3cr3t")},
            {"headers": "{'Authorization': 'token s3cr3t'}"},
            {"text": "known-s3cr3t-value in a sentence"},
            {"where": {"known-s3cr3t-value": 1}},
            {"where": {"a": {"b": {"c": {"d": {"e": {"f": {"g": ["known-s3cr3t-value"]}}}}}}}},
        ],
    )
    @pytest.mark.parametrize("format_", ["json", "console"])
    def test_never_written(self, format_: str, fields: dict[str, Any]) -> None:
        stream = _configured(format_, secrets=["known-s3cr3t-value"])
        structlog.get_logger("a").info("looked", **fields)
        logging.getLogger("b").info("looked %s", fields)
        try:
            _raise(ValueError(str(fields.get("text") or fields.get("url"))))
        except ValueError:
            structlog.get_logger("a").exception("broke")
        assert "s3cr3t" not in stream.getvalue()
        assert log.MASK in stream.getvalue()

    @pytest.mark.parametrize(
        "fields",
        [
            {"tokens": 4},
            {"token": None},
            {"token_file": "/etc/token"},
            {"has_token": True},
            {"token": False},
            {"url": "http://a:8888/lab?kernel=1"},
            {"secretary": "ana"},
            {"time": "12:30"},
        ],
    )
    def test_what_is_none_is_left_alone(self, fields: dict[str, Any]) -> None:
        stream = _configured()
        structlog.get_logger("a").info("looked", **fields)
        [line] = _lines(stream)
        assert {key: line[key] for key in fields} == fields

    def test_values_too_short_to_be_told_from_words_are_not_looked_for(self) -> None:
        stream = _configured(secrets=["a", ""])
        structlog.get_logger("x").info("a cat")
        assert _lines(stream)[0]["event"] == "a cat"

    @given(
        st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=4, max_size=30),
        st.text(max_size=10),
        st.text(max_size=10),
    )
    def test_a_known_value_never(self, secret: str, before: str, after: str) -> None:
        stream = _configured("json", secrets=[secret])
        structlog.get_logger("x").info("looked", zz=f"{before}{secret}{after}", yy=[{"xx": secret}])
        line = _lines(stream)[0]
        assert secret not in line["zz"].replace(before, "", 1) or secret in before + after
        assert line["yy"] == [{"xx": log.MASK}]


class TestFaults:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    def test_a_full_disk_ends_nothing(self) -> None:
        _configured(stream=self.Full())
        structlog.get_logger("a").info("looked")
        logging.getLogger("b").info("looked")

    def test_nor_does_a_closed_stream(self) -> None:
        stream = _configured()
        stream.close()
        structlog.get_logger("a").info("looked")
        logging.getLogger("b").info("looked")

    def test_nor_does_a_record_that_can_not_be_formatted(self) -> None:
        stream = _configured()
        [ours] = [one for one in logging.getLogger().handlers if one.get_name() == "reaper"]
        ours.handle(logging.LogRecord("b", logging.INFO, "", 0, "%d looks", ("many",), None))
        assert _lines(stream)[0]["event"] == "log record unreadable"

    def test_nor_does_a_stream_that_is_none(self) -> None:
        """`reaper run 2>&-` has no stderr."""
        code = (
            "import sys; sys.stderr = None\nfrom reaper import log; import structlog\n"
            "log.configure(); structlog.get_logger('a').info('looked'); print('fine')"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "fine\n"


def test_importing_it_costs_nothing() -> None:
    code = "import sys, reaper.log; print({'structlog', 'logging', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
