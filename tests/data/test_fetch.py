"""Fetching from a server that breaks off, lies, forgets and attacks."""

import errno
import hashlib
import io
import ssl
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue

import pytest
from filelock import FileLock

from cervbench.data.cards.card import Card
from cervbench.data.cards.source import Archive, Source
from cervbench.data.download import ATTEMPTS, _checked, _file_name, download
from cervbench.data.error import DataError
from cervbench.data.fetch import fetch
from cervbench.watching import unwatched


def zip_of(content):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return out.getvalue()


GOOD = zip_of({"a/1.bmp": bytes(range(256)) * 40, "a/2.bmp": b"x" * 5000})


class Server(ThreadingHTTPServer):
    """Serves one file; `behaviour` is called with the handler for each request."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.tag, self.asked = GOOD, '"v1"', []
        self.behaviour = honest

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/files/set%20one.zip?download=1"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.headers.get("Range"))
        self.server.behaviour(self)

    def log_message(self, *args):
        pass

    def answer(self, status, body, announced=None, **headers):
        self.send_response(status)
        if announced is not False:
            self.send_header("Content-Length", str(len(body) if announced is None else announced))
        if self.server.tag:
            self.send_header("ETag", self.server.tag)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


def rest(handler):
    """The content from where the client asks, if it is still the client's version; and the headers."""
    content, asked = handler.server.content, handler.headers.get("Range")
    if asked is None or handler.headers.get("If-Range") != handler.server.tag:
        return 200, content, {}
    start = int(asked.removeprefix("bytes=").removesuffix("-"))
    if start >= len(content):
        return 416, b"", {"Content_Range": f"bytes */{len(content)}"}
    return 206, content[start:], {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}


def honest(handler):
    status, body, headers = rest(handler)
    handler.answer(status, body, **headers)


def breaks_off_after(count):
    def behaviour(handler):
        status, body, headers = rest(handler)
        handler.answer(status, body[:count], announced=len(body), **headers)

    return behaviour


def ignores_range(handler):
    first = len(handler.server.asked) == 1
    content = handler.server.content
    handler.answer(200, content[:3000] if first else content, announced=len(content))


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def card(server):
    return Card(
        "set",
        "A set",
        ("a", "b"),
        lambda folder: [],
        "",
        "",
        Source("http://page", (Archive(server.url),)),
        "",
    )


@pytest.fixture(autouse=True)
def waited(monkeypatch):
    """Seconds that would have been waited between attempts."""
    seconds = []
    monkeypatch.setattr("cervbench.data.download.sleep", seconds.append)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return seconds


def fetched(card, tmp_path):
    return fetch(card, tmp_path / "root", tmp_path / "cache")


def test_an_archive_is_fetched_unpacked_and_reported(card, tmp_path):
    told = []
    done = fetch(card, tmp_path / "root", tmp_path / "cache", lambda *what: told.append(what))
    assert done.folder == tmp_path / "root" / "set"
    assert (done.folder / "a" / "2.bmp").read_bytes() == b"x" * 5000
    file = card.source.archives[0].url.rsplit("/", 1)[-1]
    assert told[-1] == (f"fetch {file}", len(GOOD), len(GOOD), {})
    (one,) = done.downloads
    assert (one.size, one.sha256) == (len(GOOD), hashlib.sha256(GOOD).hexdigest())
    assert not one.published
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["set"]


def test_a_connection_that_breaks_off_is_taken_up_where_it_stopped(server, card, tmp_path, waited):
    server.behaviour = breaks_off_after(4000)
    fetched(card, tmp_path)
    assert server.asked == [None, *(f"bytes={n}-" for n in range(4000, len(GOOD), 4000))]
    assert waited == [1, 2, 4][: len(server.asked) - 1]


@pytest.mark.parametrize(
    "error",
    [
        ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] decryption failed or bad record mac"),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        IncompleteRead(b""),
    ],
    ids=["tls", "route", "http"],
)
@pytest.mark.parametrize("step", ["getresponse", "read"])
def test_whatever_the_network_refuses_is_asked_again(server, card, tmp_path, monkeypatch, error, step):
    """Regression: the number 1 of TLS was read as EPERM, with the advice for it; a lost route ended it."""
    of = HTTPConnection if step == "getresponse" else HTTPResponse
    works, refusals = getattr(of, step), [error, error]

    def breaks(*asked):
        if refusals:
            raise refusals.pop()
        return works(*asked)

    monkeypatch.setattr(of, step, breaks)
    assert (fetched(card, tmp_path).folder / "a" / "2.bmp").read_bytes() == b"x" * 5000
    assert refusals == []


@pytest.mark.parametrize(
    ("name", "is_at"), [("part", "/dev/full"), ("part", "/no/folder"), ("validator", "/no/folder/validator")]
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_what_the_disk_refuses_is_said_with_the_path_and_not_asked_again(
    server, tmp_path, name, is_at, monkeypatch
):
    """Regression: of a full disk nothing was said where the last bytes, of less than a block, did not fit."""

    def opened(path, *how, **more):
        return real(Path(is_at) if path.suffix == f".{name}" else path, *how, **more)

    real, server.content = Path.open, b"small"
    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(DataError, match=r"set-20one\.zip\.part cannot be written: .*; run the command again"):
        download(Archive(server.url), tmp_path, unwatched)
    assert len(server.asked) == 1


def test_what_a_killed_process_left_is_taken_up_by_the_next(server, card, tmp_path):
    server.behaviour = breaks_off_after(1000)
    with pytest.raises(DataError, match=f"broke off {ATTEMPTS} times"):
        fetched(card, tmp_path)
    server.behaviour, server.asked = honest, []
    fetched(card, tmp_path)
    assert server.asked == [f"bytes={1000 * ATTEMPTS}-"]


@pytest.mark.parametrize("linked", ["part", "part.validator"])
def test_a_link_in_the_place_of_a_part_is_not_followed(server, tmp_path, linked):
    """Regression: in a cache that others can write to, it led the download over any file."""
    (tmp_path / "victim").write_text("mine")
    for name in ("part", "part.validator"):
        path = tmp_path / f"{_file_name(server.url)}.{name}"
        path.symlink_to(tmp_path / "victim") if name == linked else path.write_text("mine")
    done = download(Archive(server.url), tmp_path, unwatched)
    assert done.path.read_bytes() == server.content
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_part_that_was_whole_already_is_not_fetched_twice(server, card, tmp_path):
    server.behaviour = breaks_off_after(1000)
    with pytest.raises(DataError):
        fetched(card, tmp_path)
    (part,) = (tmp_path / "cache" / "downloads").glob("*.part")
    part.write_bytes(GOOD)
    server.behaviour, server.asked = honest, []
    fetched(card, tmp_path)
    assert server.asked == [f"bytes={len(GOOD)}-"]


def test_a_server_that_ignores_the_range_starts_the_file_anew(server, card, tmp_path):
    server.behaviour = ignores_range
    assert (fetched(card, tmp_path).folder / "a" / "1.bmp").read_bytes() == bytes(range(256)) * 40
    assert server.asked == [None, "bytes=3000-"]


def test_a_file_that_changed_meanwhile_is_not_pieced_together(server, card, tmp_path):
    other = zip_of({"a/1.bmp": b"other" * 4000})

    def changes(handler):
        breaks_off_after(3000)(handler)
        server.content, server.tag, server.behaviour = other, '"v2"', honest

    server.behaviour = changes
    assert fetched(card, tmp_path).downloads[0].sha256 == hashlib.sha256(other).hexdigest()


def test_without_a_tag_to_tell_versions_apart_nothing_is_pieced_together(server, card, tmp_path):
    server.tag = None
    server.behaviour = ignores_range
    fetched(card, tmp_path)
    assert server.asked == [None, None]


def test_a_server_that_announces_more_than_it_has_is_caught(server, card, tmp_path):
    server.behaviour = lambda handler: handler.answer(200, GOOD, announced=len(GOOD) + 500)
    with pytest.raises(DataError, match=f"{len(GOOD)} of {len(GOOD) + 500} bytes came"):
        fetched(card, tmp_path)
    assert not (tmp_path / "root" / "set").exists()


def test_a_server_that_announces_less_than_it_has_is_caught(server, card, tmp_path):
    server.behaviour = lambda handler: handler.answer(200, GOOD, announced=len(GOOD) - 500)
    with pytest.raises(DataError, match="damaged or no archive"):
        fetched(card, tmp_path)
    assert list((tmp_path / "cache" / "downloads").glob("*.zip")) == []


def test_a_server_that_sends_more_than_the_card_says_is_stopped(server, tmp_path):
    server.behaviour = lambda handler: handler.answer(200, bytes(2**20), announced=False)
    with pytest.raises(DataError, match="more than the 1000 bytes"):
        download(Archive(server.url, size=1000), tmp_path, unwatched)
    assert [path for path in tmp_path.iterdir() if path.stat().st_size > 1000] == []


def test_a_length_other_than_the_cards_is_refused_at_once(server, tmp_path):
    with pytest.raises(DataError, match=f"{len(GOOD)} bytes long, and the card says 7"):
        download(Archive(server.url, size=7), tmp_path, unwatched)


def test_a_checksum_other_than_the_cards_is_refused_with_both(server, tmp_path):
    with pytest.raises(
        DataError, match=f"sha256 {hashlib.sha256(GOOD).hexdigest()}; the card says sha256 {'0' * 64}"
    ):
        download(Archive(server.url, sha256="0" * 64), tmp_path, unwatched)
    assert list(tmp_path.glob("*.zip")) == []


def test_of_a_card_without_a_checksum_none_is_told(server, tmp_path):
    """Regression: it said `sha256 None`."""
    path = tmp_path / "file"
    path.write_bytes(GOOD)
    with pytest.raises(DataError, match=rf"the card says {len(GOOD) + 1} bytes\. The file was removed"):
        _checked(Archive(server.url, len(GOOD) + 1), path)


def test_the_cards_checksum_is_enough(server, tmp_path):
    archive = Archive(server.url, len(GOOD), hashlib.sha256(GOOD).hexdigest())
    done = download(archive, tmp_path, unwatched)
    assert done.published
    assert done.path.read_bytes() == GOOD


@pytest.mark.parametrize("form", ["sha256:{}", "{}", "SHA256:{}"])
def test_a_checksum_is_one_however_it_is_written(server, tmp_path, form):
    """Regression: the right file was refused and removed, since its sum was in capitals."""
    archive = Archive(server.url, sha256=form.format(hashlib.sha256(GOOD).hexdigest().upper()))
    assert download(archive, tmp_path, unwatched).published


@pytest.mark.parametrize(
    ("slip", "told"),
    [
        ({"sha256": "0" * 63}, "where 64 hexadecimal digits are due"),
        ({"sha256": 7}, "its sha256 is 7"),
        ({"size": "5"}, "its size is '5', where a number of bytes is due"),
        ({"keep_as": "../labels.csv"}, "where the plain name of a file is due"),
        ({"keep_as": ".."}, "where the plain name of a file is due"),
    ],
)
def test_what_no_file_can_be_is_refused_in_the_card(slip, told):
    with pytest.raises(DataError, match=told):
        Archive("https://example.org/cells.zip", **slip)


def test_two_files_kept_under_one_name_are_refused():
    both = tuple(Archive(f"https://example.org/{n}", keep_as="labels.csv") for n in range(2))
    with pytest.raises(DataError, match=r"keep more than one file as labels\.csv"):
        Source("", both)


def test_a_file_that_is_no_archive_is_kept_as_it_is(server, card, tmp_path):
    """Regression: a table was damaged, was removed, and was to be fetched again, for ever."""
    both = (Archive(server.url), Archive(server.url.replace("download=1", "table"), keep_as="labels.csv"))
    fetched(replace(card, source=Source("", both)), tmp_path)
    assert (tmp_path / "root" / "set" / "labels.csv").read_bytes() == GOOD
    assert (tmp_path / "root" / "set" / "a" / "2.bmp").read_bytes() == b"x" * 5000


def test_two_archives_that_contradict_each_other_are_kept(server, card, tmp_path):
    """Regression: the second was removed, though it was sound."""

    def in_turn(handler):
        handler.answer(200, zip_of({"README": handler.path.encode()}))

    server.behaviour = in_turn
    both = tuple(Archive(server.url.replace("download=1", which)) for which in ("one", "other"))
    for _ in range(2):
        with pytest.raises(DataError, match="holds README, which is there already"):
            fetched(replace(card, source=Source("", both)), tmp_path)
    assert len(server.asked) == 2


def test_other_bytes_than_the_first_time_are_refused_with_both(server, card, tmp_path):
    first = fetched(card, tmp_path).downloads[0]
    first.path.unlink()
    server.content = zip_of({"a/1.bmp": b"something else"})
    again = replace(card, folder="again")
    with pytest.raises(DataError) as refusal:
        fetched(again, tmp_path)
    for sha256 in (first.sha256, hashlib.sha256(server.content).hexdigest()):
        assert sha256 in str(refusal.value)
    assert not (tmp_path / "root" / "again").exists()


def test_a_hostile_archive_leaves_no_trace(server, card, tmp_path):
    server.content = zip_of({"a/1.bmp": b"1", "../../evil": b"evil"})
    with pytest.raises(DataError, match="lies outside the folder"):
        fetched(card, tmp_path)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {".set.lock"}  # some versions of filelock take it away with them


def test_of_several_archives_only_the_bad_one_is_fetched_again(server, card, tmp_path):
    asked = []

    def one_is_bad(handler):
        asked.append(handler.path.rpartition("?")[2])
        handler.answer(200, b"no archive" if asked[-1] == "bad" else GOOD)

    server.behaviour = one_is_bad
    both = tuple(Archive(server.url.replace("download=1", which)) for which in ("good", "bad"))
    for _ in range(2):
        with pytest.raises(DataError, match="is damaged or no archive"):
            fetched(replace(card, source=Source("", both)), tmp_path)
    assert asked == ["good", "bad", "bad"]


def test_whoever_waited_for_another_sees_what_it_fetched(server, card, tmp_path):
    told = Queue()
    with ThreadPoolExecutor() as others:
        (tmp_path / "cache" / "downloads").mkdir(parents=True)
        with FileLock(tmp_path / "cache" / "downloads" / ".set.lock"):
            waiting = others.submit(
                fetch, card, tmp_path / "root", tmp_path / "cache", lambda doing, *_: told.put(doing)
            )
            assert told.get(timeout=30).endswith(": waiting for another process")
            (tmp_path / "root" / "set").mkdir(parents=True)
        with pytest.raises(DataError, match="exists already"):
            waiting.result()
    assert server.asked == []


def test_a_missing_file_is_said_at_once(server, card, tmp_path):
    server.behaviour = lambda handler: handler.answer(404, b"")
    with pytest.raises(DataError, match="answers 404"):
        fetched(card, tmp_path)
    assert len(server.asked) == 1


def test_a_server_in_trouble_is_asked_again(server, card, tmp_path):
    def troubled(handler):
        (honest if len(server.asked) > 2 else lambda handler: handler.answer(503, b""))(handler)

    server.behaviour = troubled
    fetched(card, tmp_path)
    assert len(server.asked) == 3


def test_a_server_out_of_reach_is_said_with_the_way_out(card, tmp_path):
    away = replace(card, source=Source("", (Archive("http://127.0.0.1:1/set.zip"),)))
    with pytest.raises(DataError, match=r"put the file there by hand as .*set\.zip"):
        fetched(away, tmp_path)


def test_a_file_put_there_by_hand_is_not_fetched(server, card, tmp_path):
    first = fetched(card, tmp_path)
    server.asked.clear()
    fetched(replace(card, folder="second"), tmp_path)
    assert server.asked == []
    assert first.folder.exists()


def test_what_is_there_already_is_not_touched(server, card, tmp_path):
    (tmp_path / "root" / "set").mkdir(parents=True)
    with pytest.raises(DataError, match="exists already"):
        fetched(card, tmp_path)
    assert server.asked == []


def test_a_source_that_needs_a_human_says_which_file_goes_where(card, tmp_path):
    by_hand = replace(card, source=Source("", by_hand="Put x.7z into `set/`."))
    with pytest.raises(DataError, match=r"by hand, into .*set\. Put x\.7z"):
        fetched(by_hand, tmp_path)


def test_only_http_is_fetched(tmp_path):
    with pytest.raises(DataError, match="not an http address"):
        download(Archive("file:///etc/passwd"), tmp_path, unwatched)
