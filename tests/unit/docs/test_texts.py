"""What the texts name exists, their links lead somewhere, and the README keeps its promises."""

import ast
import re
from pathlib import Path

from reaper.config.catalog import FILE_ONLY, sections, settings
from tests.unit.docs.pages import DOCS, PAGES, ROOT, each_text


@each_text
def test_settings_in_the_texts_exist(text: Path) -> None:
    known = {info.variable for info in settings().values()} | {"REAPER_CONFIG"}
    known |= {f"{info.variable}_FILE" for info in settings().values() if info.credential}
    known |= {"REAPER_PORT", "REAPER_SERVICE_"}
    named = set(re.findall(r"REAPER_[A-Z0-9_]+", text.read_text(encoding="utf-8")))
    assert {name for name in named if name not in known and not name.endswith("_")} == set()


def test_keys_of_the_file_are_not_invented() -> None:
    """The names of sections and settings that a page gives as keys are those of the model."""
    assert set(FILE_ONLY) == {"policies"}
    assert {"jupyter", "jupyter.process"} <= set(sections())


# Links


def _anchors(path: Path) -> set[str]:
    found = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        heading = re.fullmatch(r"#+ (.*)", line)
        if heading:
            bare = re.sub(r"[`*]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])).lower()
            found.add(re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", bare).strip()))
    return found


@each_text
def test_links_lead_somewhere(text: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", text.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        path = (text.parent / name).resolve() if name else text
        outside = text in PAGES and DOCS not in (path, *path.parents)
        if not path.exists() or outside or (anchor and anchor not in _anchors(path)):
            broken.append(target)
    assert broken == []


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = re.findall(r"([\w/-]+\.md)$", navigation, re.MULTILINE)
    assert sorted(listed) == sorted(str(path.relative_to(DOCS)) for path in PAGES)


@each_text
def test_nothing_of_this_machine_is_in_the_texts(text: Path) -> None:
    content = text.read_text(encoding="utf-8")
    assert str(ROOT) not in content
    assert re.findall(r"/root/|/tmp/|pip\.conf|index-url|simple/", content) == []


# The README's promises


def _tests() -> set[str]:
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                found.add(node.name)
    return found


def test_will_it_kill_my_job() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("## Will it kill my job?") : readme.index("## What is not there yet")]
    rows = re.findall(r"^\| (\d+) \| (.*) \| (.*) \| `(test_\w+)` \|$", table, re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, 21))
    assert any("variables are lost" in happens for _, _, happens, _ in rows)
    named = [test for *_, test in rows]
    assert len(set(named)) == len(named)
    assert set(named) - _tests() == set()


def test_the_readme_is_short_and_names_its_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) < 250
    for command in ("make demo", "pip install idle-reaper", "reaper run", "make test"):
        assert command in readme
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z]+)\b", readme)) - {"sure"} <= set(targets)


def test_the_changelog_has_its_headings() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased = text.partition("## [Unreleased]")[2].partition("\n## ")[0]
    assert "### Decisions" in unreleased
