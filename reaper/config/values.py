"""How values are read: durations with units, lists with commas, addresses that may hold secrets.

Each type says what was wrong with a value in a `ValueError` that does not name the setting, because its
caller knows that, and never holds a secret. They live by kind in `quantities`, `lists`, `hours` and `guarded`.
"""

from reaper.config.guarded import (
    MASK,
    HeaderSecret,
    JupyterUrls,
    NotifyAddresses,
    safe_address,
    safe_url,
    scheme_of,
)
from reaper.config.hours import QuietHoursList
from reaper.config.lists import (
    ActionList,
    Argv,
    Globs,
    ListenList,
    LowerText,
    PathList,
    TagGlobs,
    Texts,
    TomlTables,
    UserPath,
)
from reaper.config.quantities import (
    Duration,
    OptionalDuration,
    PositiveDuration,
    Rate,
    Threshold,
    duration_text,
    rate_text,
)

__all__ = [
    "MASK",
    "ActionList",
    "Argv",
    "Duration",
    "Globs",
    "HeaderSecret",
    "JupyterUrls",
    "ListenList",
    "LowerText",
    "NotifyAddresses",
    "OptionalDuration",
    "PathList",
    "PositiveDuration",
    "QuietHoursList",
    "Rate",
    "TagGlobs",
    "Texts",
    "Threshold",
    "TomlTables",
    "UserPath",
    "duration_text",
    "rate_text",
    "safe_address",
    "safe_url",
    "scheme_of",
]
