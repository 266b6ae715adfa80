"""Fetching Cityscapes from a site on loopback: where a login is found, and that no secret is anywhere else."""

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import miniature
import pytest
from hostile import refusal
from servers import Site, running

from paumer.config.network import Data
from paumer.data import cityscapes, cityscapes_site, download
from paumer.data.catalogue import DATASETS
from paumer.data.cityscapes_site import HOST, VARIABLES, Login, find_login
from paumer.data.preparation import fetch_dataset, prepare
from paumer.system.files import read_json

LABELS, IMAGES = "gtFine_trainvaltest.zip", "leftImg8bit_trainvaltest.zip"
FILES = {"train": 3, "val": 2}
SECRETS = ("somebody@example.org", "sesame 42&=")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    """A site on loopback that gives a miniature; no login is at hand."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in (*VARIABLES, "NETRC", "PAUMER_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(download, "sleep", lambda seconds: None)
    root = miniature.cityscapes(
        tmp_path / "original", **FILES, test=1, labels=tuple(set(miniature.LABEL_FILES) - {"labelTrainIds.png"})
    )
    (root / "README").write_text("Cityscapes")
    archives = tuple(
        replace(archive, files={name: FILES["train" if "/train/" in name else "val"] for name in archive.files})
        for archive in cityscapes.ARCHIVES
    )
    source = replace(cityscapes.DATASET.download, archives=archives)
    monkeypatch.setitem(DATASETS, "cityscapes", replace(cityscapes.DATASET, download=source))
    with running(Site(SECRETS)) as started:
        started.archives = {
            LABELS: miniature.zipped(root, only="gtFine/*/*/*"),
            "other.zip": b"another package",
            IMAGES: miniature.zipped(root, only="leftImg8bit/*/*/*"),
        }
        monkeypatch.setattr(cityscapes_site, "SITE", started.url)
        yield started


@pytest.fixture
def known(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site, and its login in the environment."""
    set_login(monkeypatch, *SECRETS)
    return site


def set_login(monkeypatch: pytest.MonkeyPatch, username: str, password: str) -> None:
    for name, value in zip(VARIABLES, (username, password), strict=True):
        monkeypatch.setenv(name, value)


def get(tmp_path: Path) -> Path:
    fetch_dataset("cityscapes", tmp_path / "data/cityscapes", 1)
    return tmp_path / "data/cityscapes"


def failure(tmp_path: Path) -> str:
    """The one line with which fetching fails; the dataset must not be there, nor a secret in the line."""
    line = refusal(get, tmp_path)
    assert not any(secret in line for secret in SECRETS)
    assert not (tmp_path / "data/cityscapes").exists()
    assert not list(tmp_path.glob("data/.*"))
    return line


def left(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "data").iterdir()}


def test_dataset_arrives_ready(known: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = get(tmp_path)
    assert left(tmp_path) == {"cityscapes"}
    assert {path.name for path in folder.iterdir()} == {"gtFine", "leftImg8bit", "source.json"}
    assert len(list(folder.rglob("*_labelTrainIds.png"))) == 6
    assert read_json(folder / "source.json")["archives"] == [
        {"name": name, "sha256": hashlib.sha256(known.archives[name]).hexdigest()} for name in (LABELS, IMAGES)
    ]
    assert known.forms == [("/login", {"username": [SECRETS[0]], "password": [SECRETS[1]], "submit": ["Login"]})]
    for path in folder.rglob("*"):
        assert path.is_dir() or not any(secret.encode() in path.read_bytes() for secret in SECRETS)
    printed = "".join(capsys.readouterr())
    assert not any(secret in printed for secret in SECRETS)
    assert f"{folder}: ready" in printed
    prepare(Data(dataset="cityscapes", folder=str(folder)), tmp_path / "data.json", threads=1)
    splits = read_json(tmp_path / "data.json")["splits"]
    assert {name: split["images"] for name, split in splits.items()} == FILES
    known.asked.clear()
    get(tmp_path)
    assert known.asked == []  # the second time


def test_folder_that_is_there_is_only_made_ready(site: Site, tmp_path: Path) -> None:
    folder = miniature.cityscapes(tmp_path / "data/cityscapes", labels=("polygons.json",))
    get(tmp_path)
    assert site.asked == []
    assert len(list(folder.rglob("*_labelTrainIds.png"))) == 3


def test_archives_that_are_there_need_no_login(known: Site, tmp_path: Path) -> None:
    known.archives[IMAGES], good = b"no zip", known.archives[IMAGES]
    assert "no sound zip archive" in failure(tmp_path)
    assert left(tmp_path) == {LABELS}  # only the archive at fault is removed
    (tmp_path / "data" / IMAGES).write_bytes(good)
    known.asked.clear()
    get(tmp_path)
    assert known.asked == []


def test_login_is_refused(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_login(monkeypatch, SECRETS[0], "wrong password")
    line = failure(tmp_path)
    assert f"/login: refuses the login from the environment variables {' and '.join(VARIABLES)}; mend that" in line
    assert "wrong password" not in line
    assert len(site.forms) == 1
    assert site.requests == []


def test_no_login(site: Site, tmp_path: Path) -> None:
    line = failure(tmp_path)
    for hint in (f"{site.url}/register", *VARIABLES, "~/.netrc", "in a terminal", "PAUMER_DATA"):
        assert hint in line
    assert site.asked == []


@pytest.mark.parametrize("path", ["/login", "/downloads/", "/file-handling/"])
def test_other_hosts_get_nothing(known: Site, tmp_path: Path, path: str) -> None:
    with running(Site(SECRETS)) as stranger:
        known.elsewhere[path] = f"{stranger.url}{path}"
        failure(tmp_path)
        assert (stranger.asked, stranger.forms) == ([], [])


ANSWERS: dict[str, tuple[Callable[[Site, pytest.MonkeyPatch], object], str]] = {
    "no checksum": (lambda site, _: site.md5.update({IMAGES: "<html>"}), "?packageID=2: answers with no checksum"),
    "another checksum": (lambda site, _: site.md5.update({LABELS: "0" * 32}), "brought a file of md5"),
    "no text": (lambda site, _: setattr(site, "listing", b"\xff"), "/downloads/?list: answers with no list"),
    "no names": (lambda site, _: setattr(site, "listing", b'[{"packageID": "1"}]'), "answers with no list"),
    "an empty list": (lambda site, _: setattr(site, "listing", b"{}"), "offers no gtFine"),
    "not offered": (lambda site, _: site.archives.pop(IMAGES), f"offers no {IMAGES} to this account"),
    "refused": (lambda site, _: setattr(site, "busy", True), "the server refuses it (status 503); run again"),
    "nobody": (
        lambda _, patch: patch.setattr(cityscapes_site, "SITE", "http://127.0.0.1:9"),
        "http://127.0.0.1:9/login: cannot be reached",
    ),
    "no tools": (lambda _, patch: patch.setattr(cityscapes, "find_spec", lambda name: None), "'paumer[cityscapes]'"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_of_the_site(known: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    change, problem = ANSWERS[name]
    change(known, monkeypatch)
    assert problem in failure(tmp_path)
    assert known.requests == [] or name == "another checksum"


def test_disk_full_while_unpacking(known: Site, tmp_path: Path, small_files) -> None:
    target = tmp_path / "data"
    target.mkdir()
    for name in (LABELS, IMAGES):
        (target / name).write_bytes(known.archives[name])
    with small_files(500):
        assert f"{target / 'cityscapes'}: cannot be written ([Errno 27]" in failure(tmp_path)
    assert left(tmp_path) == {LABELS, IMAGES}
    get(tmp_path)
    assert left(tmp_path) == {"cityscapes"}


def test_sizes_as_the_site_writes_them() -> None:
    sizes = {"11GB": 11 * 2**30, "241 MB": 241 * 2**20, "1.5kb": 1536, "": 0, "many": 0, "1TB": 0}
    assert {text: cityscapes_site._bytes(text) for text in sizes} == sizes


def test_addresses_are_those_of_the_official_downloader() -> None:
    import cityscapesscripts.download.downloader as official

    text = Path(official.__file__).read_text()
    assert cityscapes_site.SITE == "https://www.cityscapes-dataset.com"
    for address in ("/login", "/downloads/?list", "/md5-sum/?packageID=", "/file-handling/?packageID="):
        assert f'"{cityscapes_site.SITE}{address}' in text
        assert address in Path(cityscapes_site.__file__).read_text()


# Where a login is found


def write_netrc(tmp_path: Path, text: str = f"machine {HOST} login bert password netrc") -> Path:
    path = tmp_path / ".netrc"
    path.write_text(f"{text}\n")
    path.chmod(0o600)
    return path


class Terminal:
    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.answer


@pytest.mark.usefixtures("site")
def test_first_place_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    assert find_login() is None
    monkeypatch.setattr(sys, "stdin", Terminal("dora\n"))
    assert find_login() is None  # a log is not asked
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(cityscapes_site, "getpass", lambda prompt: SECRETS[1])
    assert find_login() == Login("dora", SECRETS[1], "the terminal")
    assert "it is not stored" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    assert find_login() is None
    netrc = write_netrc(tmp_path)
    assert find_login() == Login("bert", "netrc", "~/.netrc")
    elsewhere = netrc.rename(tmp_path / "elsewhere")
    monkeypatch.setenv("NETRC", str(elsewhere))
    assert find_login() == Login("bert", "netrc", str(elsewhere))
    set_login(monkeypatch, *SECRETS)
    found = find_login()
    assert found == Login(*SECRETS, f"the environment variables {' and '.join(VARIABLES)}")
    assert not any(secret in f"{found} {found!r}" for secret in SECRETS)


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("line", ["machine www.other.org login a password b", "default login a password b", ""])
def test_logins_of_other_hosts_are_not_used(tmp_path: Path, line: str) -> None:
    write_netrc(tmp_path, line)
    assert find_login() is None


@pytest.mark.usefixtures("site")
def test_places_that_hold_no_login_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = f"machine {HOST} login {SECRETS[0]} password two words\nmachine {HOST} passwort {SECRETS[0]}"
    write_netrc(tmp_path, text)
    line = refusal(find_login)
    assert line.startswith("~/.netrc: line ")
    assert not any(word in line for word in ("words", "passwort", *SECRETS))
    write_netrc(tmp_path).chmod(0o644)
    assert os.name != "posix" or "chmod 600" in refusal(find_login)
    for username, password, name in (("anna", "", VARIABLES[1]), ("", SECRETS[1], VARIABLES[0])):
        set_login(monkeypatch, username, password)
        assert refusal(find_login).startswith(f"{name}: is empty or not set; set both")
