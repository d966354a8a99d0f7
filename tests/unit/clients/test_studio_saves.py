"""When somebody last saved something, on real files."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reaper.clients.studio import Newest, editor_histories, newest_change

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def save(file: Path, at: datetime) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    os.utime(file, (at.timestamp(), at.timestamp()))
    return file


def is_notebook(name: str) -> bool:
    return name.endswith(".ipynb")


class TestNewestChange:
    def test_the_newest_file_wherever_it_lies(self, tmp_path: Path) -> None:
        save(tmp_path / "a/old", T0)
        newest = save(tmp_path / "b/c/d/new", T0 + timedelta(hours=1))
        found = newest_change([tmp_path / "a", tmp_path / "none", tmp_path / "b"])
        assert found == Newest(at=T0 + timedelta(hours=1), path=str(newest), complete=True)

    def test_only_what_is_wanted(self, tmp_path: Path) -> None:
        save(tmp_path / "data.csv", T0 + timedelta(days=1))
        save(tmp_path / "a.ipynb", T0)
        assert newest_change([tmp_path], wanted=is_notebook).at == T0

    def test_nothing_there(self, tmp_path: Path) -> None:
        assert newest_change([tmp_path, tmp_path / "none"]) == Newest()
        assert newest_change([]) == Newest()

    def test_directories_links_and_what_is_hidden_do_not_count(self, tmp_path: Path) -> None:
        save(tmp_path / "a", T0)
        save(tmp_path / ".cache/b", T0 + timedelta(days=1))
        (tmp_path / "empty").mkdir()
        elsewhere = save(tmp_path.parent / f"{tmp_path.name}-elsewhere", T0 + timedelta(days=2))
        (tmp_path / "link").symlink_to(elsewhere)
        (tmp_path / "loop").symlink_to(tmp_path)
        assert newest_change([tmp_path]).at == T0

    def test_no_deeper_than_told(self, tmp_path: Path) -> None:
        save(tmp_path / "1/a.ipynb", T0)
        save(tmp_path / "1/2/b.ipynb", T0 + timedelta(hours=1))
        assert newest_change([tmp_path], depth=2).at == T0
        assert newest_change([tmp_path], depth=3).at == T0 + timedelta(hours=1)

    def test_no_more_than_told_and_it_says_so(self, tmp_path: Path) -> None:
        for number in range(20):
            save(tmp_path / f"deep/{number}", T0 + timedelta(hours=1))
        save(tmp_path / "high", T0)
        found = newest_change([tmp_path], most=5)
        assert not found.complete
        assert newest_change([tmp_path], most=22).complete

    def test_what_is_dated_later_than_it_can_be_is_no_change(self, tmp_path: Path) -> None:
        save(tmp_path / "a.ipynb", T0)
        save(tmp_path / "from-an-archive.ipynb", T0 + timedelta(days=365))
        assert newest_change([tmp_path], until=T0 + timedelta(minutes=5)).at == T0


def test_code_editors_histories_are_below_its_data(tmp_path: Path) -> None:
    found = editor_histories(tmp_path, [Path("/elsewhere/User")])
    shown = [str(path).replace(str(tmp_path), "~") for path in found]
    assert shown == [
        "/opt/amazon/sagemaker/sagemaker-code-editor-server-data/data/User/History",
        "/opt/amazon/sagemaker/sagemaker-code-editor-server-data/data/User/Backups",
        "~/sagemaker-code-editor-server-data/data/User/History",
        "~/sagemaker-code-editor-server-data/data/User/Backups",
        "/elsewhere/User/History",
        "/elsewhere/User/Backups",
    ]
