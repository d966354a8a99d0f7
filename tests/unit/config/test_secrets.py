"""No secret is ever shown: not by str, repr, `config show`, `config check`, an error, a schema or a log."""

import io
import json
import logging
import pickle
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, given as for_all, settings as hypothesis_settings, strategies as st

from reaper import log
from reaper.config.documents import show, show_policies_toml
from reaper.config.load import check, load_settings
from reaper.config.rules import build_ruleset
from reaper.errors import ConfigError
from tests.support.configuration import Given

_SECRET = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789"), min_size=12, max_size=40).map(
    lambda text: f"s3cr3t{text}"
)
_SPOILT = st.sampled_from(["{}", "{} ", "{}\x07", "ä{}", "{} {}"])
"""Shapes in which a secret can be used, or can't."""

_WRONG = st.sampled_from(
    [
        {},
        {"REAPER_MODE": "on"},
        {"REAPER_IDLE_TIMEOUT": "5"},
        {"REAPER_NO_SUCH": "x"},
        {"REAPER_LISTEN": "0.0.0.0:1"},
    ]
)


@st.composite
def _configurations(draw: st.DrawFn) -> tuple[list[str], dict[str, str], str]:
    """Give secrets, variables and a file that hold them, all over the place, rightly and wrongly."""
    secrets = draw(st.lists(_SECRET, min_size=5, max_size=5, unique=True))
    token, api, hook, query, other = (draw(_SPOILT).replace("{}", secret) for secret in secrets)
    variables, lines, jupyter = dict(draw(_WRONG)), ["# file"], ["[jupyter]"]
    for name, value in (
        ("JUPYTER__TOKEN", token),
        ("API_TOKEN", api),
        (
            "NOTIFY",
            draw(
                st.sampled_from(
                    [
                        f"https://h.example/{hook}",
                        f"https://u:{hook}@h.example/",
                        f"slack://{hook}",
                        hook,
                        f'["{hook}',
                    ]
                )
            ),
        ),
        (
            "JUPYTER__URL",
            draw(
                st.sampled_from(
                    [
                        f"http://a/?token={query}",
                        f"http://u:{query}@a/",
                        f"ftp://{query}",
                        query,
                        f"http://[{query}",
                    ]
                )
            ),
        ),
    ):
        if draw(st.booleans()):
            variables[f"REAPER_{name}"] = value
        else:
            key = name.lower().rpartition("__")[2]
            quoted = draw(
                st.sampled_from(
                    [json.dumps(value), f"[{json.dumps(value)}]", f"{{ x = {json.dumps(value)} }}"]
                )
            )
            (jupyter if "__" in name else lines).append(f"{key} = {quoted}")
    if draw(st.booleans()):
        (draw(st.sampled_from([lines, jupyter]))).append(
            f"{draw(st.sampled_from(['tokn', 'api_tokn', 'url_']))} = {json.dumps(other)}"
        )
    return secrets, variables, "\n".join([*lines, *jupyter]).replace("\\u0007", "\\u0007")


def _said(environ: dict[str, str]) -> list[str]:
    said = [json.dumps(check(environ), ensure_ascii=False)]
    try:
        settings = load_settings(environ)
    except ConfigError as error:
        return [*said, str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
    stream = io.StringIO()
    log.configure("console", "debug", stream=stream, secrets=settings.secret_values())
    structlog.get_logger("x").info(
        "configured", settings=settings, jupyter=settings.jupyter, all=settings.model_dump()
    )
    for secret in settings.secret_values():
        structlog.get_logger("x").info(f"oops {secret}", where=[{"deep": f"<{secret}>"}])
    return [
        *said,
        str(settings),
        repr(settings),
        repr(settings.provenance),
        json.dumps(show(settings), ensure_ascii=False),
        show_policies_toml(settings),
        json.dumps(build_ruleset(settings).body()),
        stream.getvalue(),
    ]


@pytest.fixture
def _quiet() -> object:
    yield
    structlog.reset_defaults()
    for handler in list(logging.getLogger().handlers):
        if handler.get_name() == "reaper":
            logging.getLogger().removeHandler(handler)


@pytest.mark.usefixtures("_quiet")
@hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@for_all(made=_configurations())
def test_no_secret_is_ever_shown(
    tmp_path: Path, given: Given, made: tuple[list[str], dict[str, str], str]
) -> None:
    secrets, variables, toml = made
    given.file(toml)
    for text in _said({**given.environ, **variables}):
        for secret in secrets:
            assert secret not in text


def test_not_from_a_file_or_credential_either(given: Given) -> None:
    given.secret("s3cr3tabc def", "credentials/jupyter.token")
    given.environ["CREDENTIALS_DIRECTORY"] = str(given.folder / "credentials")
    path = given.secret("s3cr3txyz\ns3cr3tuvw")
    [one, other] = given.errors(API_TOKEN_FILE=str(path))
    assert "s3cr3t" not in str((one, other))


def test_settings_are_no_thing_to_pickle_secrets_in_the_clear(given: Given) -> None:
    """Whoever pickles settings gets the secrets, as the type says; nothing of ours does."""
    settings = given.load(API_TOKEN="s3cr3tabc")
    assert b"s3cr3tabc" in pickle.dumps(settings)
    assert "s3cr3tabc" not in settings.model_dump_json()


def test_secret_values_are_all_of_them(given: Given) -> None:
    settings = given.load(
        API_TOKEN="a1",
        JUPYTER__URL="http://a/?token=b2,http://b/",
        NOTIFY="log:,command:/bin/true,https://h/c3",
    )
    assert settings.secret_values() == ("a1", "https://h/c3", "b2")
