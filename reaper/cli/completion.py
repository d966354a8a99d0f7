"""`reaper completion`: what the shell needs to complete commands, options and names."""

from enum import StrEnum
from typing import Annotated

import typer

from reaper.cli.app import new_app
from reaper.cli.output import emit, note
from reaper.errors import UsageError

__all__ = ["app"]

app = new_app()


class Shell(StrEnum):
    """Shells that typer has a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command()
def completion(
    shell: Annotated[
        Shell | None,
        typer.Argument(metavar="bash|zsh|fish", help="Default: the shell this runs in.", show_default=False),
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Put it into the shell's start-up files.")
    ] = False,
) -> None:
    """Print or install the shell's completion.

    \b
    Examples:
      eval "$(reaper completion bash)"
      reaper completion --install
    """  # noqa: D301 - click's mark for lines to leave alone
    name = shell.value if shell is not None else _own_shell()
    if not install:
        from typer.completion import get_completion_script  # type: ignore[attr-defined]  # typer re-exports nothing

        emit(get_completion_script(prog_name="reaper", complete_var="_REAPER_COMPLETE", shell=name) + "\n")
        return
    from typer.completion import install as install_script  # type: ignore[attr-defined]

    _, path = install_script(shell=name, prog_name="reaper", complete_var="_REAPER_COMPLETE")
    note(f"{name} completion is in {path}; a new shell has it")


def _own_shell() -> str:
    import os
    from pathlib import Path

    name = Path(os.environ.get("SHELL", "")).name
    if name not in set(Shell):
        raise UsageError("which shell? 'reaper completion bash', 'zsh' or 'fish'")
    return name
