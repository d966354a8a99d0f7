"""Stands before the package of this name, on the path of all that tests start.

jsonschema imports it for the format `uri`, if it is there; it compiles large patterns. jsonschema goes on without.
"""

raise ImportError("tests do without it")
