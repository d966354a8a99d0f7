"""An environment and a configuration file, made for a test."""

from pathlib import Path
from typing import Any

from reaper.config.load import check, load_settings
from reaper.config.model import Settings

__all__ = ["Given"]


class Given:
    """An environment and perhaps a file, and what comes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ: dict[str, str] = {
            "HOME": str(folder / "home"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
        }

    def file(self, text: str, name: str = "reaper.toml") -> Path:
        """Write the configuration file and name it."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        self.environ["REAPER_CONFIG"] = str(path)
        return path

    def secret(self, text: str, name: str = "secret", mode: int = 0o600) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def load(self, toml: str | None = None, /, **variables: str) -> Settings:
        """Load, with variables by their name without REAPER_."""
        if toml is not None:
            self.file(toml)
        return load_settings({**self.environ, **{f"REAPER_{name}": text for name, text in variables.items()}})

    def errors(self, toml: str | None = None, /, **variables: str) -> list[tuple[str, str]]:
        """Give what is wrong, as (where, message); the file's path is written FILE."""
        document = self._check(toml, variables)
        file = str(document["file"])
        return [(one["where"].replace(file, "FILE"), one["message"]) for one in document["errors"]]

    def warnings(self, toml: str | None = None, /, **variables: str) -> list[str]:
        document = self._check(toml, variables)
        assert document["ok"], document["errors"]
        return [str(one).replace(str(document["file"]), "FILE") for one in document["warnings"]]

    def _check(self, toml: str | None, variables: dict[str, str]) -> dict[str, Any]:
        if toml is not None:
            self.file(toml)
        return check({**self.environ, **{f"REAPER_{name}": text for name, text in variables.items()}})
