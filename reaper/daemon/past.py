"""Explain what is gone: from the journal's ledger and decisions alone."""

from reaper.core.codec import to_json
from reaper.core.facts import LedgerEntry
from reaper.core.report import decision_document
from reaper.errors import UsageError
from reaper.plugins import Journal, LedgerQuery

__all__ = ["explain_gone"]

_LONG_AGO = 20_000
"""Ledger rows to search: more than a year of reaping fifty things a day."""


async def explain_gone(journal: Journal, resource: str) -> dict[str, object] | None:
    """Give the explain document of the newest life of a RESOURCE that was acted on and is no more.

    Args:
        journal: Open.
        resource: A full id, a unique prefix of one, or a name.

    Returns:
        The document with `"gone": true`; None: the ledger knows no such thing.

    Raises:
        UsageError: A prefix that several ids share; `candidates` are in the message.
    """
    rows = await journal.facts(LedgerQuery(types=("LedgerEntry",), limit=_LONG_AGO))
    wanted = resource.rpartition("/")[2].partition("@")[0]
    entries = [row for row in rows if isinstance(row, LedgerEntry) and row.ref.id.startswith(wanted)]
    exact = [entry for entry in entries if entry.ref.id == wanted]
    named = [row for row in rows if isinstance(row, LedgerEntry) and row.name == resource]
    entries = exact or (named[-1:] and [row for row in named if row.ref == named[-1].ref]) or entries
    ids = sorted({entry.ref.id for entry in entries})
    if not ids:
        return None
    if len(ids) > 1:
        error = UsageError(f"{resource!r} could be any of: {', '.join(ids)}")
        error.candidates = tuple(ids)
        raise error
    ref = entries[-1].ref
    ledger = [entry for entry in entries if entry.ref == ref]
    decisions = await journal.decisions(decision_id=ledger[-1].decision_id, limit=1)
    return {
        "schema": 1,
        "at": to_json(ledger[-1].at),
        "resource": {**to_json(ref), "name": ledger[-1].name or ref.id},
        "decision": decision_document(decisions[-1]) if decisions else None,
        "next": [
            f"nothing: it is gone ({ledger[-1].action}, {ledger[-1].state.value.lower()}: {ledger[-1].outcome})"
        ],
        "ledger": [to_json(entry) for entry in ledger],
        "gone": True,
    }
