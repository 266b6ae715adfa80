"""Fetching Cityscapes from a site on loopback: login, resumption, checksums, room, and no secret anywhere else."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import miniature
import pytest
from servers import Site, running

from paumer.config.network import Data
from paumer.data import cityscapes, cityscapes_site, download
from paumer.data import cityscapes as cityscapes_labels
from paumer.data.catalogue import DATASETS
from paumer.data.preparation import fetch_dataset, prepare
from paumer.system.errors import PaumerError
from paumer.system.files import read_json

LABELS, IMAGES = "gtFine_trainvaltest.zip", "leftImg8bit_trainvaltest.zip"
FILES = {"train": 3, "val": 2}


@pytest.fixture
def known(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site gives a miniature, and the login is in the environment."""
    monkeypatch.setattr(download, "sleep", lambda seconds: None)
    root = miniature.cityscapes(
        tmp_path / "original", **FILES, test=1, labels=tuple(set(miniature.LABEL_FILES) - {"labelTrainIds.png"})
    )
    (root / "README").write_text("Cityscapes")
    site.archives = {
        LABELS: miniature.zipped(root, only="gtFine/*/*/*"),
        "other.zip": b"another package",
        IMAGES: miniature.zipped(root, only="leftImg8bit/*/*/*"),
    }
    archives = tuple(
        replace(archive, files={name: FILES["train" if "/train/" in name else "val"] for name in archive.files})
        for archive in cityscapes.ARCHIVES
    )
    source = replace(cityscapes.DATASET.download, archives=archives)
    monkeypatch.setitem(DATASETS, "cityscapes", replace(cityscapes.DATASET, download=source))
    set_login(monkeypatch, *site.login)
    return site


def set_login(monkeypatch: pytest.MonkeyPatch, username: str, password: str) -> None:
    monkeypatch.setenv("CITYSCAPES_USERNAME", username)
    monkeypatch.setenv("CITYSCAPES_PASSWORD", password)


def get(tmp_path: Path) -> Path:
    fetch_dataset("cityscapes", tmp_path / "data/cityscapes", 1)
    return tmp_path / "data/cityscapes"


def failure(tmp_path: Path, site: Site) -> str:
    """The one line with which fetching fails; the dataset must not be there, nor a secret in the line."""
    with pytest.raises(PaumerError) as caught:
        get(tmp_path)
    line = str(caught.value)
    assert "\n" not in line
    assert not any(secret in line for secret in site.login)
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
    assert known.forms == [
        ("/login", {"username": [known.login[0]], "password": [known.login[1]], "submit": ["Login"]})
    ]
    for path in folder.rglob("*"):
        assert path.is_dir() or not any(secret.encode() in path.read_bytes() for secret in known.login)
    printed = "".join(capsys.readouterr())
    assert not any(secret in printed for secret in known.login)
    assert f"{folder}: ready" in printed
    prepare(Data(dataset="cityscapes", folder=str(folder)), tmp_path / "data.json", threads=1)
    splits = read_json(tmp_path / "data.json")["splits"]
    assert {name: split["images"] for name, split in splits.items()} == FILES


def test_second_time_asks_nobody(known: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get(tmp_path)
    known.asked.clear()
    monkeypatch.delenv("CITYSCAPES_USERNAME")
    monkeypatch.delenv("CITYSCAPES_PASSWORD")
    get(tmp_path)
    assert known.asked == []


def test_folder_that_is_there_is_only_made_ready(known: Site, tmp_path: Path) -> None:
    folder = miniature.cityscapes(tmp_path / "data/cityscapes", labels=("polygons.json",))
    get(tmp_path)
    assert known.asked == []
    assert len(list(folder.rglob("*_labelTrainIds.png"))) == 3


def test_interrupted_download_goes_on(known: Site, tmp_path: Path) -> None:
    content = known.archives[IMAGES]
    half = len(content) // 2
    known.cuts = [None, half, *[0] * (download.ATTEMPTS - 1)]
    assert f"{half} of {len(content)} bytes arrived" in failure(tmp_path, known)
    assert left(tmp_path) == {LABELS, f"{IMAGES}.part", f"{IMAGES}.part.json"}
    known.requests.clear()
    get(tmp_path)
    assert known.requests == [(f"bytes={half}-", f'"{IMAGES}"')]  # and the labels are not asked for again
    assert left(tmp_path) == {"cityscapes"}


def test_kill_after_the_download_needs_no_login(known: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known.archives[IMAGES], good = b"no zip", known.archives[IMAGES]
    assert "no sound zip archive" in failure(tmp_path, known)
    assert left(tmp_path) == {LABELS}  # only the archive at fault is removed
    (tmp_path / "data" / IMAGES).write_bytes(good)
    known.asked.clear()
    get(tmp_path)
    assert known.asked == []


def test_wrong_checksum_is_refused_and_removed(known: Site, tmp_path: Path) -> None:
    known.md5[LABELS] = "0" * 32
    assert "brought a file of md5" in failure(tmp_path, known)
    assert left(tmp_path) == set()


def test_login_is_refused(known: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_login(monkeypatch, known.login[0], "wrong password")
    line = failure(tmp_path, known)
    assert "/login: refuses the login from the environment variables CITYSCAPES_USERNAME and CITYSCAPES_PASSW" in line
    assert "wrong password" not in line
    assert len(known.forms) == 1
    assert known.requests == []


def test_no_login(known: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CITYSCAPES_USERNAME")
    monkeypatch.delenv("CITYSCAPES_PASSWORD")
    line = failure(tmp_path, known)
    for hint in (f"{known.url}/register", "CITYSCAPES_USERNAME", "~/.netrc", "in a terminal", "PAUMER_DATA"):
        assert hint in line
    assert known.asked == []


def test_credentials_that_the_official_downloader_stored(
    known: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CITYSCAPES_USERNAME")
    monkeypatch.delenv("CITYSCAPES_PASSWORD")
    stored = cityscapes_site._stored_credentials()
    assert stored is not None
    assert stored.is_relative_to(tmp_path)
    stored.parent.mkdir(parents=True)
    stored.write_text('{"username": "somebody", "password": "sesame 42&="}')
    get(tmp_path)
    set_login(monkeypatch, "", "")
    stored.write_text('{"username": "somebody", "password": "old"}')
    with pytest.raises(PaumerError, match=r"refuses the login from .*credentials\.json"):
        cityscapes_site.log_in([IMAGES])
    assert stored.exists()


@pytest.mark.parametrize("path", ["/login", "/downloads/", "/file-handling/"])
def test_other_hosts_get_nothing(known: Site, tmp_path: Path, path: str) -> None:
    with running(Site()) as stranger:
        known.elsewhere[path] = f"{stranger.url}{path}"
        failure(tmp_path, known)
        assert (stranger.asked, stranger.forms) == ([], [])


ANSWERS: dict[str, tuple[Callable[[Site, pytest.MonkeyPatch], object], str]] = {
    "no checksum": (
        lambda site, _: site.md5.update({IMAGES: "<html>"}),
        "md5-sum/?packageID=2: answers with no checksum",
    ),
    "no text": (lambda site, _: setattr(site, "listing", b"\xff"), "/downloads/?list: answers with no list"),
    "no names": (lambda site, _: setattr(site, "listing", b'[{"packageID": "1"}]'), "answers with no list"),
    "an empty list": (lambda site, _: setattr(site, "listing", b"{}"), "offers no gtFine"),
    "not offered": (lambda site, _: site.archives.pop(IMAGES), f"offers no {IMAGES} to this account"),
    "nobody": (
        lambda _, patch: patch.setattr(cityscapes_site, "SITE", "http://127.0.0.1:9"),
        "http://127.0.0.1:9/login: cannot be reached",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_of_the_site(known: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    change, problem = ANSWERS[name]
    change(known, monkeypatch)
    assert problem in failure(tmp_path, known)


def test_missing_tools_are_told_before_anything_is_fetched(
    known: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cityscapes_labels, "find_spec", lambda name: None)
    assert "pip install 'paumer[cityscapes]'" in failure(tmp_path, known)
    assert known.asked == []


def test_disk_nearly_full(known: Site, tmp_path: Path, full_disk) -> None:
    full_disk(3000)  # each of two archives is listed with a KiB, and written twice
    assert f"{tmp_path / 'data'}: 4.10kB are needed here and 3.00kB are free; make room" in failure(tmp_path, known)
    assert not list((tmp_path / "data").rglob("*"))
    assert known.requests == []


def test_disk_too_full_for_what_the_server_announces(known: Site, tmp_path: Path, full_disk) -> None:
    full_disk(4500)
    assert "are free; make room" in failure(tmp_path, known)
    assert known.requests == [(None, None)]


def test_disk_full_while_unpacking(known: Site, tmp_path: Path, small_files) -> None:
    largest = max(len(content) for content in known.archives.values())
    target = tmp_path / "data"
    target.mkdir()
    for name in (LABELS, IMAGES):
        (target / name).write_bytes(known.archives[name])
    with small_files(500):
        line = failure(tmp_path, known)
    assert f"{target / 'cityscapes'}: cannot be written ([Errno 27]" in line
    assert left(tmp_path) == {LABELS, IMAGES}
    assert largest > 500
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
