"""How to talk to one outside system each. Nothing of ours in here: no resources, no policies.

A client knows addresses, formats, errors and traps of its system; what the answers mean for
idleness is its callers' business.
"""
