"""Nothing half-written is left behind."""

from pathlib import Path

import pytest

from face3d.errors import Face3DError
from face3d.output import atomic_directory, require_writable_directory


def test_files_appear_together_and_others_stay(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    target.mkdir(parents=True)
    (target / "old.txt").write_text("old")
    (target / "new.txt").write_text("to be replaced")
    with atomic_directory(target) as directory:
        (directory / "new.txt").write_text("new")
        assert (target / "new.txt").read_text() == "to be replaced"
    assert {path.name: path.read_text() for path in target.iterdir()} == {"old.txt": "old", "new.txt": "new"}


def test_a_failure_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for target in (tmp_path / "there", tmp_path / "not" / "there"):
        with pytest.raises(RuntimeError), atomic_directory(target) as directory:
            (directory / "half.txt").write_text("half")
            raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_directory_in_the_way_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(Face3DError, match=r"b\.txt is a directory"), atomic_directory(tmp_path) as directory:
        (directory / "a.txt").write_text("a")
        (directory / "b.txt").write_text("b")
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_the_check_leaves_nothing(tmp_path: Path) -> None:
    require_writable_directory(tmp_path / "not" / "there")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(Face3DError, match="file is not a directory"):
            require_writable_directory(target)


def test_a_read_only_place_is_refused(tmp_path: Path, read_only_directory: Path) -> None:
    for target in (read_only_directory, read_only_directory / "below"):
        with pytest.raises(Face3DError, match="Nothing can be written"):
            require_writable_directory(target)
