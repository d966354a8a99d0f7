"""The command `reaper`: a table of commands, each imported when it is run, and how errors end."""

import os
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from enum import Enum
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from reaper import __version__
from reaper.errors import ConfigError, ReaperError, UsageError

if TYPE_CHECKING:  # click lives inside typer; these are its types, for annotations alone
    from typer._click.core import Command as AnyCommand, Context, Parameter
    from typer._click.formatting import HelpFormatter

__all__ = ["COMMANDS", "LATER", "command_tree", "main"]

EXIT_FAILED, EXIT_USAGE, EXIT_CONFIG, EXIT_INTERRUPTED = 1, 2, 78, 130


class Entry(NamedTuple):
    """One command, known without importing it.

    Attributes:
        target: `module:name` of a function, or of a `typer.Typer` with one command or a group of them.
        help: One line for the list of commands: the first line of its own help.
    """

    target: str
    help: str


COMMANDS: dict[str, Entry] = {
    "run": Entry("reaper.cli.run_command:app", "Watch, decide and (in enforce mode) reap, until stopped."),
    "status": Entry("reaper.cli.status:app", "Show what is watched: verdict, reason, when it is due."),
    "explain": Entry(
        "reaper.cli.explain:app", "Say why something is kept or goes, and what would change it."
    ),
    "plan": Entry("reaper.cli.plan:app", "Show what would be done now; --out keeps it for 'apply'."),
    "apply": Entry("reaper.cli.apply:app", "Do what a plan says, each item after a fresh look."),
    "hold": Entry("reaper.cli.hold:app", "Protect something for a while, or while a command runs."),
    "release": Entry("reaper.cli.release:app", "End a hold before its time."),
    "pause": Entry("reaper.cli.pause:app", "Stop all actions; looking goes on."),
    "resume": Entry("reaper.cli.resume:app", "Allow actions again after a pause."),
    "set": Entry("reaper.cli.set:app", "Change a setting of the running daemon."),
    "config": Entry("reaper.cli.config:app", "Show, check or describe the configuration."),
    "schema": Entry("reaper.cli.schema:app", "Print the JSON Schema of a JSON output."),
    "doctor": Entry("reaper.cli.doctor:app", "Check that everything works, and say what to do if not."),
    "check": Entry("reaper.cli.check:app", "Tell what runs in AWS for too long, and what it has cost."),
    "coverage": Entry("reaper.cli.coverage:app", "Tell whose Studio apps no reaper covers."),
    "report": Entry("reaper.cli.report:app", "Tell what was saved by what was reaped."),
    "iam": Entry("reaper.cli.iam:app", "Print the IAM policy that reaper needs."),
    "lcc": Entry("reaper.cli.lcc:app", "Write lifecycle scripts for SageMaker Studio and notebooks."),
    "uninstall": Entry("reaper.cli.uninstall:app", "Remove what reaper itself made on this machine."),
    "demo": Entry("reaper.cli.demo_command:app", "Watch a real Jupyter server be tidied up, in a minute."),
    "completion": Entry("reaper.cli.completion:app", "Print or install the shell's completion."),
}
"""Every command in the order of the help."""


class Later(NamedTuple):
    """A command that scripts may know already.

    Attributes:
        will: What it will do: "it will ...".
        status: Exit status until then: what the command will have for wrong usage, or where reaper itself failed.
    """

    will: str
    status: int = EXIT_USAGE


LATER: dict[str, Later] = {
    "train": Later("run a training command and then end the machine", 125),
    "extend": Later("give a training box more time"),
    "launch": Later("start a training box"),
    "simulate": Later("try a policy on recorded history"),
}
"""Commands that are not in this version: what they say instead of "no such command"."""

COUNTING = frozenset({"check", "coverage"})
"""Commands whose exit status is how many need attention, 99 at most: errors have statuses above that."""

_NAGIOS_UNKNOWN = 3


class _NotYet(UsageError):
    """A command of a later version."""

    def __init__(self, name: str) -> None:
        will, self.status = LATER[name]
        super().__init__(
            f"'{name}' is not in this version ({__version__}): it will {will}; 'reaper --help' lists what there is"
        )


def new_app(**attributes: Any) -> typer.Typer:
    """Make a typer application as ours are: plain help, and tracebacks without local variables (they hold secrets)."""
    return typer.Typer(
        rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, **attributes
    )


class _Simple:
    """Reads the text of a parameter in place of typer's own way, which imports pydantic for that (0.2 s).

    Args:
        kind: The parameter's type: `str`, `bool`, `Path`, an enumeration.
    """

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def coerce(self, value: object, param: Any, ctx: "Context") -> object:
        """Turn what stood on the command line, or the default, into the parameter's type."""
        if value is None or isinstance(value, self._kind):
            return value
        try:
            return self._kind(value)
        except ValueError:
            choices = (
                ", ".join(str(one) for one in self._kind)
                if issubclass(self._kind, Enum)
                else self._kind.__name__
            )
            raise typer.BadParameter(f"{value!r} is not one of {choices}", ctx=ctx, param=param) from None


def _read_simply(params: "list[Parameter]") -> "list[Parameter]":
    """Have parameters read by `_Simple` where that is enough.

    The attribute is typer's own (0.29). Another version may not look at it: then everything works as before, only
    slower, and a test says so.
    """
    for param in params:
        kind = getattr(getattr(param, "type_descriptor", None), "annotation", None)
        if isinstance(kind, type) and (kind in (str, bool) or issubclass(kind, (Path, Enum))):
            param._runtime_param = _Simple(kind)  # type: ignore[attr-defined]  # noqa: SLF001 - see above
    return params


class Command(TyperCommand):
    """One command."""

    def get_params(self, ctx: "Context") -> "list[Parameter]":
        """Give the parameters, `--help` among them."""
        return _read_simply(super().get_params(ctx))


class Group(TyperGroup):
    """Commands of one name (`config show`)."""

    def get_params(self, ctx: "Context") -> "list[Parameter]":
        """Give the parameters, `--help` among them."""
        return _read_simply(super().get_params(ctx))


class _Lazy(MutableMapping[str, "AnyCommand"]):
    """The commands by name; looking one up imports it."""

    def __init__(self) -> None:
        self._loaded: dict[str, AnyCommand] = {}

    def __getitem__(self, name: str) -> "AnyCommand":
        if name not in self._loaded:
            module, _, attribute = COMMANDS[name].target.partition(":")
            found = getattr(import_module(module), attribute)
            if not isinstance(found, typer.Typer):
                function, found = found, new_app()
                found.command(name)(function)
            for info in found.registered_commands:
                info.cls = Command if info.cls in (None, TyperCommand) else info.cls
            command = typer.main.get_command(found)
            command.name = name
            self._loaded[name] = command
        return self._loaded[name]

    def __setitem__(self, name: str, command: "AnyCommand") -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        raise NotImplementedError

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Root(Group):
    """Lists and completes commands without importing them."""

    def resolve_command(
        self, ctx: "Context", args: list[str]
    ) -> "tuple[str | None, AnyCommand | None, list[str]]":
        """Find the command; one that is not there yet is told apart from one that never will be."""
        if args and args[0] in LATER:
            raise _NotYet(args[0])
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: "Context") -> list[str]:
        """Give the names in the order of the table."""
        return list(COMMANDS)

    def format_commands(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


def _version(value: bool) -> None:
    if value:
        from reaper.cli.output import emit

        emit(f"reaper {__version__}\n")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Turn off what people forgot, never what works, and always say why.

    RESOURCE is an id, a unique prefix of one, a name, a notebook's path, 'host', or 'self' (inside a notebook or
    terminal).

    \b
    Examples:
      reaper status                  what is watched, and when it is due
      reaper explain train.ipynb     why it is kept, or would go
      reaper hold self --for 2h      keep the kernel or terminal this runs in
      reaper hold -- make train      keep it while a command runs
      reaper run                     the daemon
    """  # noqa: D301 - click's mark for lines to leave alone


def command_tree() -> TyperGroup:
    """Build the root command."""
    app = new_app(cls=_Root, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
    app.callback()(_root)
    group = typer.main.get_command(app)
    if not isinstance(group, TyperGroup):
        raise TypeError("typer made no group of the root command")
    group.commands = _Lazy()
    return group


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Exit status: 0 done; 1 failed; 2 usage; 78 configuration; 130 interrupted. `hold -- COMMAND` gives that of the
    command.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a notebook's name in a Latin-1 terminal
    if "_REAPER_COMPLETE" in os.environ:
        from typer.completion import get_completion_inspect_parameters

        get_completion_inspect_parameters()  # has typer's own shell scripts known; the options it gives are not ours
    sys.exit(_status(arguments))


def _status(arguments: list[str]) -> int:
    try:
        ended = command_tree().main(arguments, prog_name="reaper", standalone_mode=False)
    except typer.Abort:
        return _failed(arguments, "stopped at a question", EXIT_FAILED)
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stderr.write(error.format_message() + "\n")
            return EXIT_USAGE
        context = getattr(error, "ctx", None)
        hint = f"; see '{context.command_path} --help'" if context is not None else ""
        return _failed(arguments, f"{error.format_message().rstrip('.')}{hint}", error.exit_code)
    except _NotYet as error:
        return _failed(arguments, str(error), error.status)
    except UsageError as error:
        return _failed(arguments, str(error), EXIT_USAGE, tuple(getattr(error, "candidates", None) or ()))
    except ConfigError as error:
        return _failed(arguments, str(error), EXIT_CONFIG)
    except ReaperError as error:
        return _failed(arguments, str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception:
        if not _counts(arguments):
            raise
        sys.excepthook(*sys.exc_info())
        return _of_counting(EXIT_FAILED, arguments)  # Python's own 1 would be one that needs attention
    return ended if isinstance(ended, int) else 0


def _failed(arguments: list[str], message: str, status: int, candidates: tuple[str, ...] = ()) -> int:
    """Say on stderr what went wrong: a line for people, or with `--output json` a document."""
    if _counts(arguments):
        status = _of_counting(status, arguments)
    try:
        if _wants_json(arguments):
            import json

            error = {"schema": 1, "error": message, "exit_status": status, "candidates": list(candidates)}
            sys.stderr.write(json.dumps(error, ensure_ascii=False) + "\n")
        else:
            from reaper.cli.output import clean

            first, *rest = map(clean, message.splitlines() or [""])
            sys.stderr.write("\n".join([f"reaper: error: {first}", *rest, ""]))
        sys.stderr.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return status


def _counts(arguments: list[str]) -> bool:
    """Tell whether the exit status of a command is a number of things."""
    return next((one for one in arguments if not one.startswith("-")), "") in COUNTING


def _of_counting(status: int, arguments: list[str]) -> int:
    """Give the status with which a command that counts says that it failed: no number of things, never 99 or less."""
    if _given(arguments, "--exit-status") == "nagios":
        return _NAGIOS_UNKNOWN
    return {EXIT_FAILED: 100, EXIT_USAGE: 102, EXIT_CONFIG: 103}.get(status, status)


def _given(arguments: list[str], option: str) -> str:
    """Give the value of an option, if it is given."""
    spelled = [one.partition("=")[2] for one in arguments if one.startswith(f"{option}=")]
    return next((value for name, value in pairwise(arguments) if name == option), *spelled[:1] or [""])


def _wants_json(arguments: list[str]) -> bool:
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    pairs = pairwise(before)
    return any(one in ("--output=json", "-ojson") for one in before) or any(
        option in ("--output", "-o") and value == "json" for option, value in pairs
    )
