"""Downloads from a local server that drops connections, cannot resume, sends corrupt data or has no file."""

import hashlib
import io
import socket
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from asrlib.corpora import fetch
from asrlib.utils.errors import UserError

CONTENT = np.random.default_rng(1).integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WAITS = (0.01, 0.01)


class Handler(BaseHTTPRequestHandler):
    """Serves server.content; server.drops connections end after server.piece bytes, server.corrupt answers have one wrong byte."""

    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        if self.path != "/file":
            self.send_error(server.error)
            return
        start = int(self.headers["Range"][6:-1]) if self.headers.get("Range") and server.resumes else 0
        if start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.end_headers()
            return
        body = bytearray(server.content[start:])
        if server.corrupt:
            server.corrupt -= 1
            body[0] ^= 1
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.drops:
            server.drops -= 1
            body = body[: server.piece]
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.ranges, server.error = CONTENT, [], 404
    server.drops = server.corrupt = 0
    server.piece, server.resumes = 1_000_000, True
    server.url = f"http://127.0.0.1:{server.server_port}/file"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_plain(server, tmp_path):
    path = fetch.download(server.url, tmp_path / "deep" / "file", md5=MD5, sha256=SHA256, waits=WAITS)
    assert path.read_bytes() == CONTENT and server.ranges == [None]
    fetch.download(server.url, path, md5=MD5, waits=WAITS)
    assert server.ranges == [None], "a sound file is not fetched again"
    assert sorted(file.name for file in path.parent.iterdir()) == ["file"]


def test_dropped_connections_are_resumed(server, tmp_path):
    server.drops = 2
    path = fetch.download(server.url, tmp_path / "file", md5=MD5, waits=WAITS)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000000-", "bytes=2000000-"]


def test_every_connection_that_brings_bytes_starts_the_count_of_tries_anew(server, tmp_path):
    server.drops, server.piece = 5, 400_000
    assert fetch.download(server.url, tmp_path / "file", md5=MD5, waits=WAITS).read_bytes() == CONTENT
    assert len(server.ranges) == 6


def test_a_later_run_goes_on(server, tmp_path):
    server.drops, server.piece = 1, 1_234_567
    with pytest.raises(UserError, match=r"the connection ended early.*resumes from the 1\.2 MB in .*file\.part"):
        fetch.download(server.url, tmp_path / "file", md5=MD5, waits=())
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:1_234_567] and not (tmp_path / "file").exists()
    fetch.download(server.url, tmp_path / "file", md5=MD5, waits=())
    assert (tmp_path / "file").read_bytes() == CONTENT and server.ranges[-1] == "bytes=1234567-"


def test_a_server_without_resume(server, tmp_path):
    server.drops, server.resumes = 1, False
    path = fetch.download(server.url, tmp_path / "file", md5=MD5, waits=WAITS)
    assert path.read_bytes() == CONTENT and server.ranges == [None, "bytes=1000000-"]


def test_killed_between_the_last_byte_and_the_rename(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    assert fetch.download(server.url, tmp_path / "file", md5=MD5, waits=WAITS).read_bytes() == CONTENT


def test_a_part_of_something_longer(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT + b"more")
    assert fetch.download(server.url, tmp_path / "file", md5=MD5, waits=WAITS).read_bytes() == CONTENT


def test_corrupt_once_is_fetched_again(server, tmp_path):
    server.corrupt = 1
    assert fetch.download(server.url, tmp_path / "file", sha256=SHA256, waits=WAITS).read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_corrupt_twice_is_an_error(server, tmp_path):
    server.corrupt = 2
    with pytest.raises(UserError, match="wrong checksum twice.*--mirror"):
        fetch.download(server.url, tmp_path / "file", md5=MD5, waits=WAITS)
    assert list(tmp_path.iterdir()) == []


def test_corrupt_file_on_disk_is_replaced(server, tmp_path):
    (tmp_path / "file").write_bytes(b"something else")
    assert fetch.download(server.url, tmp_path / "file", md5=MD5, waits=WAITS).read_bytes() == CONTENT


def test_not_found_is_not_tried_again(server, tmp_path):
    with pytest.raises(UserError, match="not found .HTTP 404."):
        fetch.download(server.url + "x", tmp_path / "file", waits=WAITS)
    assert len(server.ranges) == 1


def test_a_busy_server_is_tried_again(server, tmp_path):
    server.error = 503
    with pytest.raises(UserError, match="HTTP 503"):
        fetch.download(server.url + "x", tmp_path / "file", waits=WAITS)
    assert len(server.ranges) == 3


def test_no_network(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UserError, match="refused.*nothing was received"):
        fetch.download(f"http://127.0.0.1:{port}/file", tmp_path / "file", waits=WAITS)

    def unknown_host(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown_host)
    with pytest.raises(UserError, match="cannot be reached .*check the network"):
        fetch.download("http://corpus.invalid/file", tmp_path / "file", waits=(1000,))


def test_disk(tmp_path):
    fetch.check_disk(tmp_path / "not" / "yet", 1e-6)
    with pytest.raises(UserError, match="GB free, 1000000000.0 GB are needed"):
        fetch.check_disk(tmp_path / "not" / "yet", 1e9)


def tar(path, members, cut=None):
    """Writes a .tar.gz of (name, content) members; content may be a TarInfo type with a link target."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                info.type, info.linkname = content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    path.write_bytes(data.getvalue()[:cut])
    return path


def test_extract(tmp_path):
    archive = tar(tmp_path / "a.tar.gz", [("Top/README.TXT", b"new"), ("Top/LICENSE", b"free"), ("Top/set/1/a.txt", b"x"), ("Top/other/b", b"")])
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.TXT").write_text("old")
    fetch.extract_archive(archive, out, ("Top", "set"), out / ".set.complete")
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*")) == [".set.complete", "LICENSE", "README.TXT", "set", "set/1", "set/1/a.txt"]
    assert (out / "README.TXT").read_text() == "old" and (out / "set/1/a.txt").read_text() == "x"
    with pytest.raises(UserError, match="exists, but may be incomplete"):
        fetch.extract_archive(archive, out, ("Top", "set"), out / ".set.complete")


@pytest.mark.parametrize(
    "bad", [("../evil", b"x"), ("/tmp/evil", b"x"), ("Top/set/l", (tarfile.SYMTYPE, "/etc")), ("Top/set/h", (tarfile.LNKTYPE, "../x"))]
)
def test_extract_refuses_to_leave_the_folder(tmp_path, bad):
    archive = tar(tmp_path / "a.tar.gz", [("Top/set/a.txt", b"x"), bad])
    with pytest.raises(UserError, match="unsafe member"):
        fetch.extract_archive(archive, tmp_path / "out", ("Top", "set"), tmp_path / "out/.mark")
    assert list((tmp_path / "out").iterdir()) == []


def test_extract_damaged(tmp_path):
    members = [("Top/set/a.bin", CONTENT[:100_000]), ("Top/set/b.bin", CONTENT[100_000:200_000])]
    for cut in (150_000, 50_000, 100, 0):
        archive = tar(tmp_path / "a.tar.gz", members, cut)
        with pytest.raises(UserError, match="damaged or truncated"):
            fetch.extract_archive(archive, tmp_path / "out", ("Top", "set"), tmp_path / "out/.mark")
    with pytest.raises(UserError, match="has no folder Top/other"):
        fetch.extract_archive(tar(tmp_path / "a.tar.gz", members), tmp_path / "out", ("Top", "other"), tmp_path / "out/.mark")
    assert list((tmp_path / "out").iterdir()) == []
