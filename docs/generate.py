"""Write the reference pages that come from the code: one module of `pages` a page.

`python docs/generate.py` writes them; with `--check` it writes nothing and fails if one is stale, as a test
does. A new page is a function that gives its text and a line in `PAGES`.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # as it is for a script; a test loads this file from elsewhere

from pages import commands, documents, environment, lifecycle, metrics, plugins, reasons, settings

ROOT = Path(__file__).parent.parent

PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/settings.md": settings.settings_page,
    "docs/reference/cli.md": commands.cli_page,
    "docs/reference/reasons.md": reasons.reasons_page,
    "docs/reference/metrics.md": metrics.metrics_page,
    "docs/reference/json.md": documents.json_page,
    "docs/reference/plugins.md": plugins.plugins_page,
    "systemd/reaper.env": environment.environment_file,
    **{f"lcc/{target}.sh": partial(lifecycle.lifecycle_script, target) for target in lifecycle.TARGETS},
}
"""Each page with what makes it."""


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which are stale."""
    stale = []
    for name, page in PAGES.items():
        path, text = ROOT / name, page()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in arguments:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'stale: run make docs' if '--check' in arguments else 'written'}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
