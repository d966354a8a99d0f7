"""The reference pages are those of the code; every setting is in them; their examples can be loaded."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from reaper.config.catalog import settings as all_settings
from reaper.config.load import load_settings
from reaper.config.rules import build_ruleset
from tests.support.configuration import Given

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_generate"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["docs/reference/settings.md", "systemd/reaper.env"])
def test_settings_are_documented(generate: ModuleType, page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text == generate.PAGES[page](), f"{page} is stale: run make docs"
    for info in all_settings().values():
        assert info.variable in text
        assert info.meaning
        assert info.meaning.endswith(".") is False
        if info.credential:
            assert f"{info.variable}_FILE" in text


def _assignments() -> list[tuple[str, str]]:
    text = (ROOT / "systemd/reaper.env").read_text(encoding="utf-8")
    return re.findall(r"^#(REAPER_[A-Z0-9_]+)=(.*)$", text, re.MULTILINE)


def test_the_environment_file_changes_nothing_until_it_is_edited() -> None:
    lines = (ROOT / "systemd/reaper.env").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


def test_the_environment_file_has_every_variable_once() -> None:
    expected = ["REAPER_CONFIG"]
    for info in all_settings().values():
        expected += [info.variable] + ([f"{info.variable}_FILE"] if info.credential else [])
    assert [name for name, _ in _assignments()] == expected


@pytest.mark.parametrize(
    ("name", "value"), [one for one in _assignments() if not one[0].endswith(("_FILE", "_CONFIG"))]
)
def test_each_line_of_the_environment_file_can_be_used(given: Given, name: str, value: str) -> None:
    load_settings({**given.environ, name: value})


def test_the_example_can_be_loaded(generate: ModuleType, given: Given) -> None:
    token = given.secret("abc", "jupyter.token")
    settings = given.load(generate.settings.POLICY_EXAMPLE.replace("/etc/reaper/jupyter.token", str(token)))
    assert [policy.name for policy in build_ruleset(settings).policies] == [
        "quiet-kernels",
        "yesterdays-terminals",
    ]
    assert settings.provenance.warnings == ()


def test_a_stale_page_is_noticed(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.main(["--check"]) == 1
    assert "docs/reference/settings.md: stale: run make docs" in capsys.readouterr().out
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
