"""Stands before the package of this name, on the path of all that tests start.

ipykernel imports it for its debugger, if it is there: a third of a kernel's start. Who debugs cells here has a server
without this (`running_jupyter(quick=False)`).
"""

raise ImportError("tests do without it")
