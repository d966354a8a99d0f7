"""`reaper release`: end a hold before its time."""

from typing import Annotated

import typer

from reaper.cli.app import new_app
from reaper.cli.options import complete_resource
from reaper.cli.output import Format, OutputOption, Page, emit_json

__all__ = ["app"]

app = new_app()


@app.command()
def release(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RESOURCE|HOLD",
            help="A hold's id, or what is held: an id, a name, a notebook's path, 'self'.",
            autocompletion=complete_resource,
            show_default=False,
        ),
    ],
    output: Annotated[Format, OutputOption] = Format.TABLE,
) -> None:
    """End a hold before its time.

    A RESOURCE ends every hold on just that; holds on everything are ended by their id.

    \b
    Examples:
      reaper release h3f2a91c0
      reaper release train.ipynb
    """  # noqa: D301 - click's mark for lines to leave alone
    from reaper.cli.reach import named, naming, open_reach

    reach = open_reach()
    with naming(reach):
        document = reach.release_hold(named(reach, what))
    if output is Format.JSON:
        emit_json(document)
        return
    shown = Page()
    for hold in document["released"]:
        shown.line(f"released {hold}")
    shown.show()
