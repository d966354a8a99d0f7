"""Stands before the package of this name, on the path of all that tests start.

jupyter_events imports jsonschema, which imports this for the formats `iri` and `iri-reference`, if it is there; and
to import it compiles a grammar for two seconds, which is two thirds of a server's start. jsonschema goes on without.
"""

raise ImportError("tests do without it")
