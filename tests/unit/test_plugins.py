"""What plugins there are: read from the files of what is installed, as importlib.metadata would."""

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from reaper import entrypoints as plugins
from reaper.errors import ConfigError

GROUPS = ("reaper.providers", "reaper.policies", "reaper.notifiers", "reaper.journals")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Give a function that installs a package with so many lines of entry points, before all others."""
    plugins._points.cache_clear()

    def install(package: str, text: str, *, folder: str = "site") -> Path:
        metadata = tmp_path / folder / f"{package}-1.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "entry_points.txt").write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path / folder))
        return tmp_path / folder

    yield install
    plugins._points.cache_clear()


@pytest.mark.parametrize("group", GROUPS)
def test_the_same_as_importlib_metadata(group: str, installed) -> None:
    text = "# a comment\n[console_scripts]\nreaper.policies = x:y\n\n[reaper.policies]\nzzz = some_where:Rule.Inner\n"
    installed("zzz_reaper", f"{text}old=old_style : Rule [extra]\n[reaper.providers]\ncloud = cloudy\n")
    known = {point.name: (point.module, point.attr or "") for point in entry_points(group=group)}
    assert known, group
    found = {name: plugins._points()[group][name].partition(":") for name in plugins.names(group)}
    assert {name: (module.strip(), attr.strip()) for name, (module, _, attr) in found.items()} == known


def test_loads_an_object_inside_another_and_a_module(installed) -> None:
    text = "[reaper.policies]\ninner = zzz_made:Rule.Inner\n[reaper.notifiers]\nwhole = zzz_made\n"
    site = installed("zzz_reaper", text)
    (site / "zzz_made.py").write_text("class Rule:\n    class Inner:\n        pass\n", encoding="utf-8")
    assert plugins.load("reaper.policies", "inner").__qualname__ == "Rule.Inner"
    assert plugins.load("reaper.notifiers", "whole").__name__ == "zzz_made"


def test_what_is_first_on_the_path_hides_another_installation_of_itself(installed) -> None:
    installed("Idle.Reaper", "[reaper.policies]\nmine = zzz_made:Rule\n")
    assert plugins.names("reaper.policies") == ["mine"]
    assert plugins.names("reaper.journals") == []


def test_a_name_that_does_not_exist_is_told_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match=r"^no plugin 'x' in reaper\.journals; there are: memory, sqlite$"):
        plugins.load("reaper.journals", "x")
    with pytest.raises(ConfigError, match=r"^no plugin 'x' in reaper\.nothing; there are: none$"):
        plugins.load("reaper.nothing", "x")


@pytest.mark.parametrize(
    "value", ["zzz_not_there:Rule", "reaper.errors:NotThere", "reaper.errors:ConfigError.Not"]
)
def test_a_broken_one_is_an_error_that_names_it(value: str, installed) -> None:
    installed("zzz_reaper", f"[reaper.policies]\nbroken = {value}\n")
    with pytest.raises(
        ConfigError, match=rf"^plugin 'broken' of reaper\.policies \({value}\) can't be loaded: "
    ):
        plugins.load("reaper.policies", "broken")
