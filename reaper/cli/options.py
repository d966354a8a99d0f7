"""Options that several commands share."""

import typer

__all__ = ["JournalOption", "ResourceArgument", "WhyOption", "complete_resource"]

JournalOption = typer.Option(
    "--journal",
    metavar="FILE",
    help="Read this journal, not the daemon's answer.",
    show_default=False,
)


def complete_resource(incomplete: str) -> list[tuple[str, str]]:
    """Give what a RESOURCE can be, for the shell's completion: names and ids from the daemon, quickly or not at all."""
    from reaper.cli.client import find
    from reaper.errors import ReaperError

    try:
        client, _ = find()
        if client is None:
            return []
        resources = client.get("/api/v1/status")["resources"]
    except ReaperError:
        return []
    found = [("self", "the kernel or terminal this runs in")]
    for one in resources:
        found += [(str(one["name"]), f"{one['kind']} {one['id']}"), (str(one["id"]), str(one["name"]))]
    return [(text, said) for text, said in dict(found).items() if text.startswith(incomplete)]


ResourceArgument = typer.Argument(
    metavar="RESOURCE",
    help="An id, a unique prefix of one, a name, a notebook's path, 'host', or 'self'.",
    autocompletion=complete_resource,
    show_default=False,
)

WhyOption = typer.Option("--why", metavar="TEXT", help="For whoever sees it.", show_default=False)
