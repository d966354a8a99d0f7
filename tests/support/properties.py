"""How thoroughly a property is searched."""

from hypothesis import settings

__all__ = ["HOUSE"]

HOUSE = settings(max_examples=1000 if settings.get_current_profile_name() == "ci" else 100)
"""For the properties that the design rests on: nothing at work is reaped, nothing idle stays, budgets and protection
hold, past decisions can be made again, a crash leads to one act at most. 1,000 examples in CI; the others have 200."""
