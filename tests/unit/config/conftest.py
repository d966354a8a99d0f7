"""A configuration of its own for each test: no file of this machine is read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reaper.config import places
from tests.support.configuration import Given


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Given:
    monkeypatch.setattr(places, "ETC_FILE", tmp_path / "etc/reaper.toml")
    monkeypatch.setattr(places, "RUN_DIR", tmp_path / "run/reaper")
    monkeypatch.setattr(places, "LIB_DIR", tmp_path / "lib/reaper")
    return Given(tmp_path)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Change the working directory."""

    def change(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(folder)
        return folder

    return change
