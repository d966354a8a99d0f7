"""The pure heart: what was seen, what it means, what to do. Standard library only.

No asyncio, os, time, random, sqlite3 and no third-party package is imported here; instants come in as
arguments. `make check` enforces it.
"""
