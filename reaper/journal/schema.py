"""The journal's tables, and how a journal of an earlier version is brought up to this one.

Plain SQL, numbered by `PRAGMA user_version`: version n is what the first n migrations make. A
migration that was released is never changed; a change of the tables is one more entry.

How the rows stand to each other:

- Everything is dated by `seq`, the batch that wrote it, so that the state as of any batch can be read
  back: a row holds from its `first_seq` (or `seq`) until the one that took its place.
- A *strand* is one signal of one life, numbered `nr` within the life. Its newest run of equal evidence
  is its row of `heads`; the runs before that are rows of `recent` and, older, of `runs`. Reading the present
  reads `heads` alone. `runs` is ordered by strand, for reading the past; writing each look's changes straight
  into it would touch a page for each, so they collect in `recent`, which is ordered by time.
- A look that sees what the look before saw writes one row of `polls` and nothing else: a run whose
  `last_seq` is null lasts up to the latest look at its resource.
- Strand 0 is presence: the looks that saw the life at all. A look that was to see it and did not
  closes it, which is how `failing since` is known.
- Instants are microseconds since 1970 in UTC. In a run they are kept as `*_ago`, microseconds before its
  first look: small numbers take few bytes, and runs are most of the journal.
"""

import sqlite3

__all__ = ["APPLICATION_ID", "MIGRATIONS", "VERSION", "Migration", "create", "migrate"]

APPLICATION_ID = 0x52454150
"""`REAP`, in the file's header: how `file` and we know a journal from any other SQLite file."""

Migration = tuple[str, ...]
"""SQL statements, run in one transaction."""

_V1: Migration = (
    """
    CREATE TABLE meta (           -- a few numbers about the journal itself
        name TEXT PRIMARY KEY,    -- 'horizon': the oldest batch that can still be loaded
        value INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE batches (        -- every transaction, also those that left no other row
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL       -- the latest instant it speaks of
    )
    """,
    """
    CREATE TABLE sources (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    )
    """,
    """
    CREATE TABLE memos (          -- what the provider wants back, the latest of each source
        source INTEGER PRIMARY KEY,
        seq INTEGER NOT NULL,
        body TEXT NOT NULL        -- JSON
    )
    """,
    """
    CREATE TABLE polls (          -- one row a look
        seq INTEGER PRIMARY KEY,  -- its batch
        id INTEGER NOT NULL,
        source INTEGER NOT NULL,
        started_at INTEGER NOT NULL,
        took INTEGER NOT NULL,    -- microseconds
        complete INTEGER NOT NULL,
        error TEXT,
        targets TEXT,             -- JSON; null: it was a look at the whole source
        failed_kinds TEXT,        -- JSON; null: none are named
        also TEXT,                -- JSON: lives that a targeted look saw besides its targets
        nth INTEGER NOT NULL,     -- looks at the whole of this source so far, it included
        ordinal INTEGER NOT NULL, -- looks at anything so far, ever
        top_id INTEGER NOT NULL   -- highest id so far
    )
    """,
    "CREATE INDEX polls_by_source ON polls (source)",
    "CREATE INDEX polls_targeted ON polls (source) WHERE targets IS NOT NULL",
    """
    CREATE TABLE refs (           -- names of lives
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        scope TEXT NOT NULL,
        key TEXT NOT NULL,
        incarnation TEXT NOT NULL,
        UNIQUE (kind, scope, key, incarnation)
    )
    """,
    """
    CREATE TABLE lives (
        id INTEGER PRIMARY KEY,
        ref INTEGER NOT NULL,
        source INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        first_seen_at INTEGER NOT NULL,
        ended_seq INTEGER         -- null: it lives
    )
    """,
    "CREATE INDEX lives_open ON lives (id) WHERE ended_seq IS NULL",
    """
    CREATE TABLE versions (       -- a resource as it was seen from this batch on
        life INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        body TEXT NOT NULL,       -- JSON of Resource without its ref
        PRIMARY KEY (life, seq)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE heads (          -- the newest run of each strand
        life INTEGER NOT NULL,
        nr INTEGER NOT NULL,      -- 0: presence; signals from 1, in the order they appeared
        signal TEXT NOT NULL,
        first_seq INTEGER NOT NULL,
        last_seq INTEGER,         -- the last look that saw it say so; null: every look since
        activity INTEGER NOT NULL,-- 0 unknown, 1 idle, 2 active
        evidence_ago INTEGER,
        covers_ago INTEGER,
        active_ago INTEGER,
        value TEXT NOT NULL,
        extra INTEGER NOT NULL,   -- how many targeted looks extended it
        PRIMARY KEY (life, nr)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE recent (         -- runs before the newest that are to be moved to `runs`, many at a time
        life INTEGER NOT NULL,
        nr INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        activity INTEGER NOT NULL,
        evidence_ago INTEGER,
        covers_ago INTEGER,
        active_ago INTEGER,
        value TEXT NOT NULL,
        extra INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE runs (           -- the runs before those
        life INTEGER NOT NULL,
        nr INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        activity INTEGER NOT NULL,
        evidence_ago INTEGER,
        covers_ago INTEGER,
        active_ago INTEGER,
        value TEXT NOT NULL,
        extra INTEGER NOT NULL,
        PRIMARY KEY (life, nr, first_seq)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE facts (          -- what happened besides evidence; bodies are never changed
        id INTEGER PRIMARY KEY,
        seq INTEGER NOT NULL,
        at INTEGER NOT NULL,
        type TEXT NOT NULL,
        ref INTEGER,              -- what it is about
        life INTEGER,             -- the life it is folded into, if that was alive
        slot TEXT,                -- what the next fact of the same slot takes the place of
        until_seq INTEGER,        -- the batch from which it matters no more; null: it matters
        label TEXT,               -- state of a ledger entry, digest of a configuration
        body TEXT NOT NULL        -- JSON
    )
    """,
    "CREATE INDEX facts_matter ON facts (life, slot) WHERE until_seq IS NULL",
    "CREATE INDEX facts_about ON facts (ref) WHERE ref IS NOT NULL",
    "CREATE INDEX facts_started ON facts (seq) WHERE label = 'STARTED'",
    """
    CREATE TABLE configs (
        digest TEXT PRIMARY KEY,
        body TEXT NOT NULL        -- JSON
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE decisions (      -- derived: may be emptied at any time, the evidence gives them again
        id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        at INTEGER NOT NULL,
        ref INTEGER NOT NULL,
        body BLOB NOT NULL        -- JSON, deflated
    )
    """,
    "CREATE INDEX decisions_by_id ON decisions (id)",
    "CREATE INDEX decisions_about ON decisions (ref)",
    """
    CREATE VIEW evidence AS       -- for a person with a SQLite shell
    SELECT
        ref.kind, ref.scope, ref.key, ref.incarnation, run.signal,
        CASE run.activity WHEN 2 THEN 'active' WHEN 1 THEN 'idle' ELSE 'unknown' END AS activity,
        run.value,
        datetime(first.started_at / 1000000, 'unixepoch') AS first_at,
        datetime(last.started_at / 1000000, 'unixepoch') AS last_at,
        datetime((first.started_at - run.evidence_ago) / 1000000, 'unixepoch') AS evidence_at
    FROM (
        SELECT life, nr, signal, first_seq, last_seq, activity, value, evidence_ago FROM heads
        UNION ALL
        SELECT runs.life, runs.nr, heads.signal, runs.first_seq, runs.last_seq, runs.activity, runs.value,
            runs.evidence_ago
        FROM (
            SELECT life, nr, first_seq, last_seq, activity, value, evidence_ago FROM recent
            UNION ALL SELECT life, nr, first_seq, last_seq, activity, value, evidence_ago FROM runs
        ) AS runs JOIN heads USING (life, nr)
    ) AS run
    JOIN lives AS life ON life.id = run.life
    JOIN refs AS ref ON ref.id = life.ref
    JOIN polls AS first ON first.seq = run.first_seq
    LEFT JOIN polls AS last ON last.seq = run.last_seq
    WHERE run.nr > 0
    """,
)

MIGRATIONS: tuple[Migration, ...] = (_V1,)
VERSION = len(MIGRATIONS)
"""The version this reaper writes."""


def create(connection: sqlite3.Connection) -> None:
    """Make ready an empty file: what must be set before the first table is made."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("VACUUM")  # writes the header, so that no later pragma decides otherwise


def migrate(connection: sqlite3.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Bring the tables up to the last of `migrations`, one transaction a version.

    Args:
        connection: In autocommit mode (`isolation_level=None`).
        migrations: All there are, from version 1 on.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, statements in enumerate(migrations[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
