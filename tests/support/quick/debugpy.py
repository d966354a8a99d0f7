"""Stands before the package of this name, on the path of all that tests start.

ipykernel imports it for its debugger, if it is there: a fifth of a kernel's start. Nobody debugs cells here.
"""

raise ImportError("tests do without it")
