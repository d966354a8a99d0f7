"""`reaper release`: end a hold before its time."""

from typing import TYPE_CHECKING, Annotated

import typer

from reaper.cli.app import new_app
from reaper.cli.client import UnknownResource
from reaper.cli.options import complete_resource
from reaper.cli.output import Format, OutputOption, Page, emit_json
from reaper.errors import ControlError

if TYPE_CHECKING:
    from reaper.cli.reach import Reach

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
        resource = named(reach, what)
        try:
            document = reach.release_hold(resource)
        except UnknownResource as error:
            held = _held_now(reach, resource)
            if held is None:
                raise
            raise ControlError(f"{error}\n{held}") from error
    if output is Format.JSON:
        emit_json(document)
        return
    shown = Page()
    for hold in document["released"]:
        shown.line(f"released {hold}")
    shown.show()


def _held_now(reach: "Reach", resource: str) -> str | None:
    """Say what is held, where a RESOURCE is watched and no hold is on just that; None: nothing has that name."""
    from reaper.cli.hold import held
    from reaper.cli.reach import forms, names_of

    watched = reach.status()["resources"]
    if not any(resource in {*forms(one), one["name"], *one["aliases"]} for one in watched):
        return None
    holds, names = reach.holds()["holds"], names_of(reach)
    if not holds:
        return "nothing is held"
    return "\n".join(["held now:", *(f"  {one['id']}  {held(one, names)}" for one in holds)])
