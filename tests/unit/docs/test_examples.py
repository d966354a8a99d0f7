"""Examples in the texts load, compile and work, and the commands in them exist."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reaper.cli.app import COMMANDS, LATER, command_tree
from reaper.cli.schemas import SCHEMAS
from reaper.config.load import check, load_settings
from reaper.config.rules import build_ruleset
from reaper.plugins import load, names
from tests.unit.docs.pages import BLOCKS, DOCS, ROOT, TEXTS, Block, blocks, of

PLUGINS = DOCS / "how-to/write-a-plugin.md"

# Examples


def _usable(text: str, folder: Path) -> str:
    """Put a file of our own in the place of each that an example names."""

    def instead(found: re.Match[str]) -> str:
        path = folder / found[2].strip("/").replace("/", "-")
        path.write_text("https://tell.example/me\n", encoding="utf-8")
        path.chmod(0o600)
        return f'{found[1]} = "{path}"'

    return re.sub(r"^(\w+_file) = \"(/[^\"]+)\"", instead, text, flags=re.MULTILINE)


@of("toml")
def test_examples_of_the_configuration_load(block: Block, tmp_path: Path) -> None:
    if block.title:
        tomllib.loads(block.code)
    elif block.path != PLUGINS:  # those need the package that the page makes: see below
        assert _problems(block.code, tmp_path) == ([], [])


def _problems(code: str, folder: Path) -> tuple[list[Any], list[Any]]:
    file = folder / "reaper.toml"
    file.write_text(_usable(code, folder), encoding="utf-8")
    file.chmod(0o600)
    environ = {"HOME": str(folder), "REAPER_CONFIG": str(file)}
    document = check(environ)
    if document["ok"]:
        build_ruleset(load_settings(environ))
    return document["errors"], document["warnings"]


@pytest.mark.parametrize("name", names("reaper.policies"))
def test_examples_of_rules_load(name: str, tmp_path: Path) -> None:
    found = re.search(r"```toml\n(.*?)```", load("reaper.policies", name).__doc__ or "", re.DOTALL)
    assert found is not None
    code = "\n".join(line.strip() for line in found[1].splitlines())
    assert f'rule = "{name}"' in code
    errors, warnings = _problems(code, tmp_path)
    assert not errors
    assert [one for one in warnings if "this version does not look at" not in one] == []


def test_every_rule_of_ours_has_an_example() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["entry-points"]["reaper.policies"]) == set(names("reaper.policies"))


@of("json")
def test_json_examples_are_json(block: Block) -> None:
    document = json.loads(block.code)
    if "topic" in document:
        wanted = SCHEMAS["notice"]()["properties"]
        assert set(document) == set(wanted)
    else:
        assert document["type"].startswith("urn:reaper:problem:")


def _install(page: Path, folder: Path) -> Path:
    """Lay out the package that a page makes, with its entry points, as an installation would."""
    place = folder / "site"
    place.mkdir()
    titled = {block.title: block.code for block in blocks(page) if block.title}
    points = tomllib.loads(titled.pop("pyproject.toml"))["project"]["entry-points"]
    for title, code in titled.items():
        (place / title).write_text(code, encoding="utf-8")
    metadata = place / "docs_example-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: docs-example\nVersion: 1\n", encoding="utf-8"
    )
    lines = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in found.items()) for group, found in points.items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return place


def test_the_plugins_of_the_how_to_work(tmp_path: Path) -> None:
    """Run the tests that the page shows, and check its configuration, against the package that it makes."""
    place = _install(PLUGINS, tmp_path)
    ini = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    (place / "pytest.ini").write_text(ini, encoding="utf-8")
    (example,) = [block for block in blocks(PLUGINS) if block.language == "toml" and not block.title]
    file = tmp_path / "reaper.toml"
    file.write_text(f'notify = ["file:/notices"]\n{example.code}', encoding="utf-8")
    file.chmod(0o600)
    environ = {
        **os.environ,
        "PYTHONPATH": f"{place}{os.pathsep}{ROOT}",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "REAPER_CONFIG": str(file),
    }

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(
            command, cwd=place, env=environ, capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert re.search(
        r"^9 passed",
        run("pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin"),
        re.MULTILINE,
    )
    assert run("reaper", "config", "check") == f"{file}: can be used\n"


@of("python")
def test_python_examples_compile(block: Block) -> None:
    compile(block.code, str(block), "exec")
    assert block.title, f"{block}: without a title no test runs it"


# Commands


def _commands(code: str) -> Iterator[list[str]]:
    """Give each call of reaper in a shell example, as words."""
    waiting = ""
    for line in re.sub(r"\\\n\s*", " ", code).splitlines():
        lexer = shlex.shlex(waiting + line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        try:
            words, waiting = list(lexer), ""
        except ValueError:  # a quotation that goes on
            waiting += f"{line}\n"
            continue
        call: list[str] = []
        for word in [*words, ";"]:
            if word and set(word) <= set("|&;<>"):
                while call and re.fullmatch(r"[A-Z_]+=.*", call[0]):
                    call.pop(0)
                if call and call[0].rpartition("/")[2] == "reaper":
                    yield call[1:]
                call = []
            else:
                call.append(word)


SHELL = [block for block in BLOCKS if block.language in {"sh", "bash"}]
IN_TEXT = [
    (path, words)
    for path in TEXTS
    if path.name != "cli.md"
    for found in re.findall(r"`!?(reaper [^`\n]+)`", path.read_text(encoding="utf-8"))
    for words in [shlex.split(found)[1:]]
    if words[0].islower()
]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(words, id=f"{block}:{n}")
        for block in SHELL
        for n, words in enumerate(_commands(block.code))
    ]
    + [pytest.param(words, id=f"{path.name}:{' '.join(words)}") for path, words in IN_TEXT],
)
def test_commands_in_the_texts_exist(words: list[str]) -> None:
    if words[0] in LATER or words == ["--version"]:
        return
    assert words[0] in COMMANDS
    command: Any = command_tree().commands[words[0]]
    rest = words[1:]
    while getattr(command, "commands", None) and rest:
        assert rest[0] in command.commands
        command, rest = command.commands[rest[0]], rest[1:]
    if "--" in rest:
        rest = rest[: rest.index("--")]
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    for word in rest:
        if word.startswith("-") and word != "-":
            assert word in known, f"{' '.join(words)}: no option {word}"
