"""Stands before the package of this name, on the path of all that tests start.

jsonschema imports it for the format `duration`, if it is there, and with it arrow. jsonschema goes on without.
"""

raise ImportError("tests do without it")
