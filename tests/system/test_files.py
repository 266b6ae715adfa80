"""What could not be written is refused before the work, and what was refused is not touched."""

import os
from pathlib import Path

import pytest

from paumer.system.errors import PaumerError
from paumer.system.files import require_folder, require_writable


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a folder and a file in it."""
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("mine")
    return tmp_path


@pytest.mark.parametrize("name", ["a.png", "A.PNG", "new/deep/a.svg", "file", "../a.png"])
def test_what_can_be_written_is_let_through(place: Path, name: str) -> None:
    require_writable(place / name, *([] if name == "file" else [".png", ".svg"]))
    assert sorted(path.name for path in place.iterdir()) == ["file", "folder.png"]


@pytest.mark.parametrize(
    ("name", "endings", "words"),
    [
        ("folder.png", (".png",), "folder.png: is a folder; name a file, as "),
        ("folder.png", (), "folder.png: is a folder; name a file, as "),
        (".", (".png",), "is a folder"),
        ("a", (".png", ".svg"), "a: name it a.png, with one of the endings .png, .svg"),
        ("a.jpg", (".png",), "a.jpg: name it a.png, with the ending .png"),
        ("file/a.png", (".png",), "file: is a file; name a folder"),
        ("file/deep/a.png", (), "file: is a file; name a folder"),
    ],
)
def test_what_cannot_be_written_is_named(place: Path, name: str, endings: tuple[str, ...], words: str) -> None:
    with pytest.raises(PaumerError) as caught:
        require_writable(place / name, *endings)
    assert words in str(caught.value)
    assert (place / "file").read_text() == "mine"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_folders_that_may_not_be_written_to_are_named(place: Path) -> None:
    (place / "folder.png").chmod(0o500)
    with pytest.raises(PaumerError, match="cannot be written to; allow writing there"):
        require_folder(place / "folder.png" / "new")
