"""The file and the parameter that stop a fleet: what they say, and that what can't be read stops everything."""

from collections.abc import Mapping
from typing import Any

import pytest

from reaper.clients.aws import Operation
from reaper.clients.switches import FileSwitch, ParameterSwitch
from reaper.errors import SourceDenied, SourceUnavailable


async def test_a_file_that_is_not_there_lets_acts_go_on(tmp_path):
    assert await FileSwitch(tmp_path / "paused").read() is None


@pytest.mark.parametrize(
    ("text", "why"),
    [("an audit, ana\nmore\n", "an audit, ana"), ("", "the file is there"), ("x" * 900, "x" * 200)],
)
async def test_a_file_says_why_in_its_first_line(tmp_path, text, why):
    (tmp_path / "paused").write_text(text)
    assert await FileSwitch(tmp_path / "paused").read() == why


async def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "paused").mkdir()
    with pytest.raises(SourceUnavailable, match=r"paused can't be read: Is a directory"):
        await FileSwitch(tmp_path / "paused").read()


class _Models:
    async def loader(self) -> None:
        return None


class _Answers:
    """AWS that gives one answer."""

    def __init__(self, answer: object, region: str | None = "eu-central-1") -> None:
        self.models = _Models()
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self._answer = answer
        self._region = region

    def region(self) -> str | None:
        return self._region

    async def read(self, operation: Operation, *, region: str, **parameters: object) -> Any:
        self.asked.append((region, {"operation": operation.name, **parameters}))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def says(value: object) -> dict[str, object]:
    return {"Parameter": {"Value": value}}


@pytest.mark.parametrize("value", ["run", "RUN\n", "off", "no", "false", "0"])
async def test_a_parameter_that_says_run(value):
    aws = _Answers(says(value))
    assert await ParameterSwitch("/reaper/pause", aws=aws).read() is None  # type: ignore[arg-type]
    assert aws.asked == [("eu-central-1", {"operation": "GetParameter", "Name": "/reaper/pause"})]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (says("an incident"), "an incident"),
        (says("  "), "it is empty"),
        (None, "there is no parameter /reaper/pause in eu-central-1: create it with the value run"),
    ],
)
async def test_a_parameter_that_stops_everything(answer, why):
    assert await ParameterSwitch("/reaper/pause", aws=_Answers(answer)).read() == why  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (SourceDenied("ssm:GetParameter is missing"), "ssm:GetParameter"),
        ({}, "holds no value"),
        (says(7), "holds no value"),
    ],
)
async def test_a_parameter_that_cannot_be_read_is_an_error(answer, said):
    with pytest.raises((SourceDenied, SourceUnavailable), match=said):
        await ParameterSwitch("/reaper/pause", aws=_Answers(answer)).read()  # type: ignore[arg-type]


async def test_an_arn_names_the_region():
    aws = _Answers(says("run"), region=None)
    arn = "arn:aws:ssm:us-west-2:111122223333:parameter/reaper/pause"
    assert await ParameterSwitch(arn, aws=aws).read() is None  # type: ignore[arg-type]
    assert aws.asked[0][0] == "us-west-2"


async def test_without_a_region_it_says_what_to_do():
    with pytest.raises(SourceUnavailable, match="set AWS_REGION, or give its ARN"):
        await ParameterSwitch("/reaper/pause", aws=_Answers(says("run"), region=None)).read()  # type: ignore[arg-type]
