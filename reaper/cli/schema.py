"""`reaper schema`: JSON Schema of every JSON output."""

from typing import Annotated

import typer

from reaper.cli.app import new_app
from reaper.cli.output import emit, emit_json
from reaper.errors import UsageError

__all__ = ["app"]

app = new_app()


def _names(incomplete: str) -> list[str]:
    from reaper.cli.schemas import SCHEMAS

    return [name for name in SCHEMAS if name.startswith(incomplete)]


@app.command()
def schema(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Without it: the names.", autocompletion=_names, show_default=False
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of a JSON output.

    Fields are only ever added, and what is unknown is null.
    """
    from reaper.cli.schemas import SCHEMAS

    if name is None:
        emit("\n".join([*SCHEMAS, ""]))
        return
    if name not in SCHEMAS:
        raise UsageError(f"there is no schema {name!r}; there are: {', '.join(SCHEMAS)}")
    emit_json(SCHEMAS[name]())
