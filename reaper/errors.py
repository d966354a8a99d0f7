"""Every exception that reaper raises on purpose.

    ReaperError
    ├── ConfigError            what a person wrote can't be used (exit status 78)
    ├── UsageError             a command can't be carried out as it was given (exit status 2)
    ├── ControlError           the daemon refused or could not be reached (exit status 1)
    ├── CollectError           a look at a source failed: its evidence is UNKNOWN
    │   ├── SourceUnavailable    no answer: refused, timed out, 5xx
    │   ├── SourceDenied         an answer that says we may not look: 401, 403, AccessDenied
    │   └── SourceMalformed      an answer that can't be understood
    ├── ActionError            an action failed: its ledger row says so
    │   ├── ActionUnavailable    it surely had no effect and may be tried again later
    │   ├── ActionDenied         it was refused
    │   └── OutcomeUnknown       it may have had effect: look again, never retry blindly
    ├── NotifyError            a notice was not delivered
    └── JournalError           the journal can't be used
        ├── JournalLocked        another daemon holds it
        ├── JournalSchema        it was written by a newer reaper, or is no journal of ours
        ├── JournalCorrupt       its file is damaged
        └── JournalFull          it can't be written: no space, read-only, no permission

UNKNOWN, a veto and an outcome are *values*; exceptions are for what broke. A loop of the
daemon catches `ReaperError` only. Anything else ends the process: a confused reaper must stop.
"""

__all__ = [
    "ActionDenied",
    "ActionError",
    "ActionUnavailable",
    "CollectError",
    "ConfigError",
    "ControlError",
    "JournalCorrupt",
    "JournalError",
    "JournalFull",
    "JournalLocked",
    "JournalSchema",
    "NotifyError",
    "OutcomeUnknown",
    "ReaperError",
    "SourceDenied",
    "SourceMalformed",
    "SourceUnavailable",
    "UsageError",
]


class ReaperError(Exception):
    """Something that reaper knows how to report went wrong.

    The message says what was wrong, where, and what to do. Without one, the first line of the
    class's docstring is used.
    """

    def __str__(self) -> str:
        """Give the message, or the first line of the class's docstring."""
        return super().__str__() or (type(self).__doc__ or "").partition("\n")[0]


class ConfigError(ReaperError):
    """The configuration can't be used."""


class UsageError(ReaperError):
    """The command can't be carried out as it was given.

    Attributes:
        candidates: What an ambiguous RESOURCE could be.
    """

    candidates: tuple[str, ...] = ()


class ControlError(ReaperError):
    """The daemon refused the request or could not be reached."""


class CollectError(ReaperError):
    """A look at a source failed; nothing is known about what it holds."""


class SourceUnavailable(CollectError):
    """The source gave no answer."""


class SourceDenied(CollectError):
    """The source refused to be looked at."""


class SourceMalformed(CollectError):
    """The source's answer can't be understood."""


class ActionError(ReaperError):
    """An action failed."""


class ActionUnavailable(ActionError):
    """The action had no effect and may be tried again later."""


class ActionDenied(ActionError):
    """The action was refused."""


class OutcomeUnknown(ActionError):
    """The action may or may not have had an effect; look again before anything else."""


class NotifyError(ReaperError):
    """A notice was not delivered."""


class JournalError(ReaperError):
    """The journal can't be used."""


class JournalLocked(JournalError):
    """Another reaper holds the journal."""


class JournalSchema(JournalError):
    """The journal was written by a newer reaper, or is no journal of ours."""


class JournalCorrupt(JournalError):
    """The journal's file is damaged."""


class JournalFull(JournalError):
    """The journal can't be written."""
