"""systemd/reaper.env: every variable, commented out."""

from pages.settings import GENERATED
from reaper.config.catalog import SettingInfo, sections, settings
from reaper.config.documents import shown_default

__all__ = ["environment_file"]

_ENVIRONMENT_HEAD = f"""\
# {GENERATED}. Copy it to
# /etc/reaper/reaper.env, take away the `#` in front of what you change, and `systemctl restart reaper`.
# Every line below shows the default, or an example where there is none. docs/reference/settings.md says more.
#
# Secrets are better off as systemd credentials (LoadCredential=jupyter.token:/etc/reaper/credentials/jupyter.token) or
# in files of their own (the variables that end in _FILE) than in here.

# The configuration file, TOML or .json; else /etc/reaper/reaper.toml, else $XDG_CONFIG_HOME/reaper/reaper.toml.
#REAPER_CONFIG=/etc/reaper/reaper.toml
"""

_WIDTH = 116


def environment_file() -> str:
    """Give systemd/reaper.env."""
    parts = [_ENVIRONMENT_HEAD]
    section = ""
    for info in settings().values():
        if info.name.rpartition(".")[0] != section:
            section = info.name.rpartition(".")[0]
            parts.append(f"# --- {sections()[section]}\n")
        parts.append(
            "\n".join(
                [*_comment(f"{info.meaning}. Default: {shown_default(info)}."), *_assignments(info), ""]
            )
        )
    return "\n".join(parts)


def _assignments(info: SettingInfo) -> list[str]:
    lines = [f"#{info.variable}={info.example or ('' if info.credential else shown_default(info))}"]
    if info.credential:
        lines.append(f"#{info.variable}_FILE=/etc/reaper/credentials/{info.credential}")
    return lines


def _comment(text: str) -> list[str]:
    """Break a comment into lines."""
    lines: list[str] = []
    for word in text.replace("`", "").replace("*and*", "and").split():
        if lines and len(lines[-1]) + 1 + len(word) <= _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(f"# {word}")
    return lines
