"""`self`: the kernel or terminal that a command runs in."""

import os

import pytest

from reaper.cli.client import UnknownResource
from reaper.cli.whoami import ancestors, find_self
from reaper.errors import UsageError

SERVER = "http://127.0.0.1:8888/"


def kernel(id_, name="a.ipynb", *aliases):
    return {
        "kind": "jupyter.kernel",
        "id": id_,
        "scope": SERVER,
        "name": name,
        "aliases": list(aliases),
        "attributes": {},
    }


def terminal(name, pid):
    return {"kind": "jupyter.terminal", "id": name, "scope": SERVER, "name": name, "attributes": {"pid": pid}}


@pytest.fixture
def proc(tmp_path):
    """Make a /proc in which this process descends from others: nearest first, as (pid, argv)."""

    def make(*chain, own=("python", "reaper")):
        pids = [os.getpid(), *(pid for pid, _ in chain), 0]
        for (pid, argv), parent in zip([(os.getpid(), own), *chain], pids[1:], strict=True):
            folder = tmp_path / str(pid)
            folder.mkdir()
            (folder / "cmdline").write_bytes(b"\0".join(one.encode() for one in argv) + b"\0")
            (folder / "stat").write_text(f"{pid} (a) b ) c) S {parent} 1 1 0 -1")
        return tmp_path

    return make


def test_the_real_chain_begins_with_us_and_our_parent():
    found = list(ancestors())
    assert found[0][0] == os.getpid()
    assert found[1][0] == os.getppid()
    assert found[-1][0] in (1, *(pid for pid, _ in found))


@pytest.mark.parametrize(
    "argument", ["/run/user/1000/jupyter/kernel-6f1c.json", "--f=/tmp/kernel-6f1c.json", "kernel-6f1c.json"]
)
def test_kernel_by_its_command_line(proc, argument):
    there = proc(
        (50, ["sh", "-c", "reaper"]), (40, ["python", "-m", "ipykernel", "-f", argument]), (1, ["init"])
    )
    assert find_self([kernel("6f1c"), kernel("beef")], there) == f"jupyter.kernel/6f1c@{SERVER}"


def test_terminal_by_its_shell(proc):
    there = proc((50, ["make"]), (40, ["/bin/bash", "-l"]), (1, ["init"]))
    assert (
        find_self([kernel("6f1c"), terminal("3", 40), terminal("4", 41)], there)
        == f"jupyter.terminal/3@{SERVER}"
    )


def test_the_nearest_counts(proc):
    """A terminal's shell started from a notebook's cell, and the other way round."""
    there = proc((50, ["bash"]), (40, ["python", "kernel-6f1c.json"]), (1, ["init"]))
    assert find_self([kernel("6f1c"), terminal("1", 50)], there).startswith("jupyter.terminal/1@")


def test_a_file_named_on_our_own_command_line_is_no_kernel(proc, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    there = proc((1, ["init"]), own=["python", "reaper", "apply", "kernel-6f1c.json"])
    with pytest.raises(UnknownResource, match="runs in neither"):
        find_self([kernel("6f1c")], there)


@pytest.mark.parametrize(
    ("session", "found"),
    [
        ("/home/u/work/a.ipynb", "k2"),
        ("/home/u/a.ipynb", "k1"),
        ("b.ipynb", "k3"),
        ("/home/u/far/b.ipynb", "k3"),
    ],
)
def test_notebook_by_the_longest_path_that_fits(proc, monkeypatch, session, found):
    monkeypatch.setenv("JPY_SESSION_NAME", session)
    resources = [kernel("k1", "a.ipynb"), kernel("k2", "work/a.ipynb", "a.ipynb"), kernel("k3", "b.ipynb")]
    assert find_self(resources, proc((1, ["init"]))) == f"jupyter.kernel/{found}@{SERVER}"


def test_a_notebook_open_twice_is_ambiguous(proc, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "/x/a.ipynb")
    with pytest.raises(UsageError) as raised:
        find_self([kernel("k1"), kernel("k2")], proc((1, ["init"])))
    assert raised.value.candidates == (f"jupyter.kernel/k1@{SERVER}", f"jupyter.kernel/k2@{SERVER}")


def test_a_kernel_that_is_not_watched_is_named(proc, monkeypatch):
    """The environment variable may be inherited from another server: the command line knows better."""
    monkeypatch.setenv("JPY_SESSION_NAME", "/x/a.ipynb")
    with pytest.raises(UnknownResource, match="kernel beef, which is not watched"):
        find_self([kernel("6f1c")], proc((40, ["python", "kernel-beef.json"]), (1, ["init"])))


def test_nothing_known_says_what_was_looked_for(proc, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "/x/other.ipynb")
    with pytest.raises(UnknownResource, match="JPY_SESSION_NAME"):
        find_self([kernel("6f1c")], proc((1, ["init"])))
