"""Unpacking: archives of every kind land whole, and hostile ones leave no trace."""

import io
import tarfile
import zipfile

import pytest

from cervbench.data.error import DataError
from cervbench.data.unpack import unpack

CONTENT = {"New pictures/a/1.BMP": b"one", "b/2.bmp": b"two", "b/empty.txt": b""}


def zipped(path, content=CONTENT, **kinds):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = kinds.get("mode", 0) << 16
            archive.writestr(info, data)
    return path


def tarred(path, content=CONTENT, type=tarfile.REGTYPE, linkname=""):
    mode = {".gz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = type, linkname
            info.size = len(data) if type == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(data))
    return path


def files_below(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def place(tmp_path):
    """The archive lies outside of what is looked at, so that `place` shows every trace."""
    (tmp_path / "archives").mkdir()
    (tmp_path / "root").mkdir()
    return tmp_path


def refused(place, archive, match):
    with pytest.raises(DataError, match=match):
        unpack([archive], place / "root" / "set")
    assert list((place / "root").iterdir()) == []
    assert {path.name for path in place.iterdir()} == {"archives", "root"}


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_every_kind_of_archive_lands_whole(place, suffix):
    make = zipped if suffix == ".zip" else tarred
    unpack([make(place / "archives" / f"set{suffix}")], place / "root" / "set")
    assert files_below(place / "root" / "set") == CONTENT


def test_several_archives_land_in_one_folder(place):
    archives = [zipped(place / "archives" / f"{n}.zip", {f"{n}/x": n.encode()}) for n in ("a", "b")]
    unpack(archives, place / "root" / "set")
    assert files_below(place / "root" / "set") == {"a/x": b"a", "b/x": b"b"}


def test_a_folder_that_exists_is_left_as_it_is(place):
    (place / "root" / "set").mkdir()
    (place / "root" / "set" / "mine").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        unpack([zipped(place / "archives" / "a.zip")], place / "root" / "set")
    assert files_below(place / "root" / "set") == {"mine": b"mine"}


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/tmp/evil", "C:/evil", "C:evil", "..\\evil", "\\\\host\\share\\evil"]
)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_member_outside_the_folder_is_refused(place, make, name):
    archive = make(place / "archives" / "x", {"good": b"1", name: b"evil"})
    refused(place, archive, "lies outside")


def test_folders_written_the_windows_way_are_folders(place):
    unpack([tarred(place / "archives" / "w.tar", {"New pictures\\a\\1.bmp": b"1"})], place / "root" / "set")
    assert files_below(place / "root" / "set") == {"New pictures/a/1.bmp": b"1"}


@pytest.mark.parametrize("type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(place, type):
    archive = tarred(place / "archives" / "x.tar", {"innocent": b""}, type, linkname="/etc/passwd")
    refused(place, archive, "is a (link|device)")


def test_a_link_in_a_zip_is_refused(place):
    refused(place, zipped(place / "archives" / "x.zip", {"l": b"/etc/passwd"}, mode=0o120777), "is a link")


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_bomb_is_refused(place, make):
    archive = make(place / "archives" / "bomb.gz", {"zeros": bytes(40 * 2**20)})
    assert archive.stat().st_size < 100_000
    refused(place, archive, "times its size, at 'zeros'")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_is_not_deflated_is_refused_by_name(place, compression):
    """Regression: zipfile unpacks these a member at a time, so a small archive filled the memory."""
    path = place / "archives" / "x.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("zeros", bytes(2**20))
    refused(place, path, "holds 'zeros', which is not compressed by deflate")


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_name_that_is_a_bomb_is_refused(place, format):
    """Regression: a header has a length of its own, and was read at once before any limit."""
    path = place / "archives" / "x.tar.xz"
    with tarfile.open(path, "w:xz", format=format) as archive:
        archive.addfile(tarfile.TarInfo("a" * 2**21))
    refused(place, path, "a header of 2,09")


def test_a_name_that_no_file_can_have_is_refused(place):
    path = place / "archives" / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a")
        info.pax_headers = {"path": "a\0b"}
        archive.addfile(info)
    refused(place, path, "null byte")


def test_more_members_than_any_dataset_has_are_refused(place, monkeypatch):
    monkeypatch.setattr("cervbench.data.unpack.MEMBERS", 2)
    refused(place, zipped(place / "archives" / "many.zip"), "more than 2 members")


def test_a_zip_whose_member_is_longer_than_it_says_is_refused(place):
    archive = zipped(place / "archives" / "lie.zip", {"f": b"x" * 5000})
    lie = archive.read_bytes().replace((5000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    archive.write_bytes(lie)
    refused(place, archive, "damaged")


@pytest.mark.parametrize("make", [zipped, tarred])
def test_an_archive_cut_short_is_refused(place, make):
    archive = make(place / "archives" / "short.gz", {"f": bytes(range(256)) * 4000})
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    refused(place, archive, "damaged or no archive")


@pytest.mark.parametrize(("first", "second"), [(b"1", b"2"), (b"1", b""), (b"1", b"12"), (b"", b"1")])
def test_one_name_for_two_contents_is_refused(place, first, second):
    archives = [place / "archives" / name for name in ("one.zip", "other.zip")]
    for archive, content in zip(archives, (first, second), strict=True):
        zipped(archive, {"README.txt": content})
    with pytest.raises(DataError, match=r"other.zip holds README.txt, which is there already"):
        unpack(archives, place / "root" / "set")
    assert list((place / "root").iterdir()) == []


def test_one_name_for_the_same_bytes_is_one_file(place):
    """Regression: two archives with one README were refused, and the sound second was removed."""
    archives = [place / "archives" / name for name in ("one.zip", "other.zip")]
    for archive in archives:
        zipped(archive, {"README.txt": bytes(3 * 2**20), f"{archive.stem}/1": b"1"})
    unpack(archives, place / "root" / "set")
    assert set(files_below(place / "root" / "set")) == {"README.txt", "one/1", "other/1"}


def test_what_is_no_archive_is_refused(place):
    page = place / "archives" / "x.zip"
    page.write_text("<html>please log in</html>")
    refused(place, page, "no archive")
