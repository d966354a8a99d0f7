"""`reaper iam`: the IAM policy that reaper needs, no more."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from reaper.cli.app import new_app
from reaper.cli.output import emit_json, note
from reaper.errors import UsageError

if TYPE_CHECKING:
    from reaper.config import Settings

__all__ = ["app"]

app = new_app()

_FORMS = {
    "--account": (r"\d{12}", "twelve digits"),
    "--region": (r"[a-z]{2,4}(-[a-z]+)+-\d", "a region's name, such as eu-central-1"),
    "--partition": (r"aws(-[a-z]+)*", "aws, aws-cn, aws-us-gov ..."),
    "--domain": (r"d-[a-z0-9-]{1,61}", "a Studio domain's id, d-..."),
    "--user": (r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", "a user profile's name"),
    "--role": (r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+|[\w+=,.@-]{1,64}", "a role's ARN or name"),
    "--notebook-instance": (r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", "a notebook instance's name"),
}
"""What each limit must look like (SageMaker and IAM API References), and how to say so."""


@app.command()
def iam(
    purposes: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="PURPOSE",
            help="studio, notebook-instance, endpoints, jobs, coverage, check, fleet, or its halves fleet-hub "
            "and fleet-member; a list, or repeated.",
            show_default="what the preset needs",
        ),
    ] = None,
    domain: Annotated[str, typer.Option("--domain", metavar="ID", show_default="any")] = "",
    user: Annotated[
        str,
        typer.Option(
            "--user",
            metavar="PROFILE",
            help="For an execution role that only this user profile has.",
            show_default="whoever calls",
        ),
    ] = "",
    shared_spaces: Annotated[
        bool, typer.Option("--shared-spaces", help="Let apps of shared spaces be deleted too.")
    ] = False,
    notebook_instance: Annotated[
        str, typer.Option("--notebook-instance", metavar="NAME", show_default="any")
    ] = "",
    roles: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            metavar="ARN",
            help="Of the fleet: a role that may be assumed, or its name in any account; may be repeated.",
            show_default="those in the settings, else reaper-member",
        ),
    ] = None,
    account: Annotated[str, typer.Option("--account", metavar="DIGITS", show_default="any")] = "",
    region: Annotated[str, typer.Option("--region", metavar="NAME", show_default="any")] = "",
    partition: Annotated[
        str, typer.Option("--partition", metavar="NAME", show_default="the region's, else aws")
    ] = "",
) -> None:
    """Print the IAM policy that reaper needs.

    It is made from what the code calls and from REAPER_ACTIONS: what may not be done is not granted. Execution roles
    are shared, so an app may be deleted by its owner alone; the documentation says how AWS tells owners apart, and what
    was not tried in a real account.

    \b
    Examples:
      reaper iam --for studio --domain d-abc123 > policy.json
      aws iam create-policy --policy-name reaper \\
        --policy-document file://policy.json
      reaper iam --for coverage --account 123456789012
      reaper iam --for fleet-hub --role reaper-member
    """  # noqa: D301 - click's mark for lines to leave alone
    from reaper.clients.aws.policy import (
        LONGEST,
        MEMBER_ROLE,
        PAUSE_PARAMETERS,
        Narrowing,
        length,
        partition_of,
        policy,
    )
    from reaper.config import load_settings
    from reaper.core.guards import allowed

    given = {
        "--domain": domain,
        "--user": user,
        "--notebook-instance": notebook_instance,
        "--account": account,
        "--region": region,
        "--partition": partition,
    }
    for option, text in [*given.items(), *(("--role", role) for role in roles or ())]:
        form, said = _FORMS[option]
        if text and not re.fullmatch(form, text):
            raise UsageError(f"{option}: {text!r} is not {said}")
    settings = load_settings()
    narrowing = Narrowing(
        partition=partition or partition_of(region),
        account=account or "*",
        region=region or "*",
        domain=domain or "*",
        user=user,
        shared_spaces=shared_spaces,
        notebook_instance=notebook_instance or "*",
        roles=tuple(roles or ()) or _roles(settings) or (MEMBER_ROLE,),
        parameter=settings.aws.pause_parameter or PAUSE_PARAMETERS,
    )
    document = policy(
        _purposes(purposes, settings.provenance.preset),
        narrowing,
        lambda family, action: allowed(family, action, settings.actions),
    )
    emit_json(document)
    if length(document) > LONGEST:
        note(
            f"it has {length(document)} characters and IAM takes {LONGEST} a policy: print one for each purpose"
        )
    refused = [] if settings.actions is None else sorted(settings.actions) or ["none"]
    if refused:
        note(f"REAPER_ACTIONS is {','.join(refused)}: other actions are not granted")


def _roles(settings: "Settings") -> tuple[str, ...]:
    """Give the roles that the settings name: by ARN, and by the name that they have in an organization."""
    named = settings.aws.organization.role
    return (*settings.aws.roles, *((named,) if named else ()))


def _purposes(given: list[str] | None, preset: str) -> list[str]:
    """Read what the policy is for.

    Raises:
        UsageError: There is no such purpose; or none is given, and the preset needs nothing of AWS.
    """
    from reaper.clients.aws.policy import PURPOSES

    there = ", ".join(PURPOSES)
    if not given:
        if preset not in PURPOSES:
            raise UsageError(
                f"the preset here is {preset}, which needs nothing of AWS: name --for, of {there}"
            )
        return [preset]
    wanted = [one.strip() for text in given for one in text.split(",")]
    for one in wanted:
        if one not in PURPOSES:
            raise UsageError(f"--for: {one!r} is no purpose; there are: {there}")
    return wanted
