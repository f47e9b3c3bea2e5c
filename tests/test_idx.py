import contextlib
import gzip
import hashlib
import os
import re
import struct
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from initlab.data import idx

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = idx.FILES
NOBODY = "http://127.0.0.1:9/"  # the discard port, where nothing listens


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def unzipped(array, magic=None):
    magic = 0x800 + array.ndim if magic is None else magic
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()


def pack(path, array, **options):
    path.write_bytes(gzip.compress(unzipped(array, **options)))
    return path


def images(n, rows=5, columns=4):
    return np.random.default_rng(n).integers(256, size=(n, rows, columns), dtype=np.uint8)


def labels(n, classes=3):
    return (np.arange(n) % classes).astype(np.uint8)


def write_set(folder):
    folder.mkdir(parents=True, exist_ok=True)
    pack(folder / TRAIN_IMAGES, images(6))
    pack(folder / TRAIN_LABELS, labels(6))
    pack(folder / TEST_IMAGES, images(4))
    pack(folder / TEST_LABELS, labels(4))
    return folder


def hashes(folder):
    return {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in idx.FILES}


def refusal(call, *arguments, **options):
    with pytest.raises(idx.IdxError) as caught:
        call(*arguments, **options)
    return str(caught.value)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and notes what was asked for."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()


class Silent(Quiet):
    """Takes a request, and never answers."""

    def do_GET(self):
        self.server.over.wait()


class CutShort(Quiet):
    """Promises a file, sends half of it, and hangs up."""

    def do_GET(self):
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])


class ZippedAgain(Quiet):
    """Sends a .gz as gzip-encoded content to whoever accepts that."""

    def end_headers(self):
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            self.send_header("Content-Encoding", "gzip")
        super().end_headers()


@contextlib.contextmanager
def mirror(folder, handler=Quiet):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=folder))
    server.asked, server.over = [], threading.Event()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", server.asked
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()


def test_an_image_file_is_read_back_as_it_was_packed(tmp_path):
    stored = images(6)
    read = idx.read(pack(tmp_path / "images.gz", stored), axes=3)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, stored)


def test_a_truncated_file_is_refused_by_its_path(tmp_path):
    path = pack(tmp_path / "images.gz", images(6))
    path.write_bytes(path.read_bytes()[:-20])
    message = refusal(idx.read, path, axes=3)
    assert str(path) in message
    assert "expected a readable, intact gzip file" in message
    assert "ended before the end-of-stream" in message


@pytest.mark.parametrize("where", [0, 10, 40, -8])
def test_a_flipped_byte_in_header_body_or_checksum_is_refused(tmp_path, where):
    path = pack(tmp_path / "images.gz", images(6))
    content = bytearray(path.read_bytes())
    content[where] ^= 0xFF
    path.write_bytes(content)
    assert "intact gzip file" in refusal(idx.read, path, axes=3)


def test_an_error_page_in_place_of_the_file_is_refused(tmp_path):
    path = tmp_path / "images.gz"
    path.write_text("<html>404</html>")
    assert "Not a gzipped file" in refusal(idx.read, path, axes=3)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    assert "Is a directory" in refusal(idx.read, tmp_path, axes=3)


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x03\0"])
def test_a_file_shorter_than_its_header_is_refused(tmp_path, content):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(content))
    message = refusal(idx.read, path, axes=3)
    assert "expected a header of 16 bytes" in message
    assert f"found {len(content)} bytes" in message


def test_labels_in_place_of_images_are_refused_by_their_magic_number(tmp_path):
    message = refusal(idx.read, pack(tmp_path / "images.gz", labels(60)), axes=3)
    assert "expected the magic number 0x00000803" in message
    assert "found 0x00000801" in message


def test_an_array_of_another_type_is_refused_by_its_magic_number(tmp_path):
    message = refusal(idx.read, pack(tmp_path / "x.gz", labels(60), magic=0xD01), axes=1)
    assert "found 0x00000d01" in message


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_length_than_announced_is_refused(tmp_path, change):
    content = unzipped(images(6)) + b"\0"
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(content[: len(content) - 1 + change]))
    message = refusal(idx.read, path, axes=3)
    assert "expected 136 bytes when unzipped (16 of header and 6 x 5 x 4)" in message
    assert f"found {136 + change} bytes" in message


def test_a_header_that_announces_the_impossible_asks_for_no_memory(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(struct.pack(">4I", 0x803, *[2**32 - 1] * 3)))
    assert "found 16 bytes" in refusal(idx.read, path, axes=3)


def test_a_file_without_examples_is_refused(tmp_path):
    message = refusal(idx.read, pack(tmp_path / "images.gz", images(0)), axes=3)
    assert "expected at least one example" in message
    assert "0 x 5 x 4" in message


def test_a_set_is_read_as_rows_of_bytes_and_integer_labels(tmp_path):
    arrays = dict(idx.read_set(write_set(tmp_path)))
    assert list(arrays) == ["train_x", "train_labels", "test_x", "test_labels"]
    np.testing.assert_array_equal(arrays["train_x"], images(6).reshape(6, 20))
    np.testing.assert_array_equal(arrays["test_x"], images(4).reshape(4, 20))
    assert arrays["train_labels"].tolist() == [0, 1, 2, 0, 1, 2]
    assert arrays["test_labels"].dtype == np.int64


@pytest.mark.parametrize(
    ("file", "array", "expected", "found"),
    [
        (TRAIN_LABELS, labels(5), "6 labels, one for each image", "5 labels"),
        (TEST_LABELS, labels(6), "4 labels, one for each image", "6 labels"),
        (TEST_IMAGES, images(4, 4, 5), "images of 5 x 4 pixels as in", "4 x 5 pixels"),
        (TEST_LABELS, labels(4, classes=4), "labels from 0 to 2 as in", "a label 3"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, file, array, expected, found):
    path = pack(write_set(tmp_path) / file, array)
    message = refusal(lambda: dict(idx.read_set(tmp_path)))
    assert message.startswith(str(path))
    assert f"expected {expected}" in message
    assert f"found {found}" in message


@pytest.fixture
def published(tmp_path):
    return write_set(tmp_path / "published")


def test_missing_files_are_downloaded_and_the_others_left_alone(tmp_path, published):
    root = tmp_path / "root"
    root.mkdir()
    (root / TRAIN_LABELS).write_text("my own")
    with mirror(published) as (url, asked):
        idx.fetch(root, [url], hashes(published), timeout=5)
    assert sorted(asked) == sorted(f"/{file}" for file in idx.FILES if file != TRAIN_LABELS)
    assert (root / TRAIN_LABELS).read_text() == "my own"
    assert (root / TRAIN_IMAGES).read_bytes() == (published / TRAIN_IMAGES).read_bytes()


def test_a_full_folder_asks_no_mirror(published):
    with mirror(published) as (url, asked):
        idx.fetch(published, [url], dict.fromkeys(idx.FILES, "0" * 64), timeout=5)
    assert asked == []


def test_downloaded_files_can_be_read_by_others(tmp_path, published):
    with mirror(published) as (url, _):
        idx.fetch(tmp_path / "root", [url], hashes(published), timeout=5)
    assert (tmp_path / "root" / TRAIN_IMAGES).stat().st_mode & 0o777 == 0o644


def test_a_mirror_with_other_bytes_is_passed_over(tmp_path, published, caplog):
    wrong = write_set(tmp_path / "wrong")
    pack(wrong / TRAIN_IMAGES, images(7))
    root = tmp_path / "root"
    with mirror(wrong) as (first, _), mirror(published) as (second, asked):
        idx.fetch(root, [first, second], hashes(published), timeout=5)
    assert (root / TRAIN_IMAGES).read_bytes() == (published / TRAIN_IMAGES).read_bytes()
    assert f"/{TRAIN_IMAGES}" in asked
    assert f"passed over {first}{TRAIN_IMAGES}" in caplog.text
    assert "does not match the known hash" in caplog.text


def test_a_mirror_that_failed_is_not_asked_first_again(tmp_path, published):
    empty = tmp_path / "empty"
    empty.mkdir()
    with mirror(empty) as (first, asked), mirror(published) as (second, _):
        idx.fetch(tmp_path / "root", [first, second], hashes(published), timeout=5)
    assert asked == [f"/{TRAIN_IMAGES}"]


def test_a_mirror_may_serve_the_files_as_encoded_content(tmp_path, published):
    with mirror(published, ZippedAgain) as (url, _):
        idx.fetch(tmp_path / "root", [url], hashes(published), timeout=5)
    assert hashes(tmp_path / "root") == hashes(published)


def test_a_silent_mirror_is_given_up_after_the_time_out(tmp_path, published):
    with mirror(published, Silent) as (url, _):
        start = time.monotonic()
        message = refusal(idx.fetch, tmp_path / "root", [url], hashes(published), timeout=0.2)
        assert 0.2 <= time.monotonic() - start < 2
    assert "timed out" in message


def test_a_download_cut_short_leaves_neither_file_nor_folder_behind(tmp_path, published):
    root = tmp_path / "root"
    with mirror(published, CutShort) as (url, _):
        refusal(idx.fetch, root, [url], hashes(published), timeout=5)
    assert not root.exists()


def test_the_message_says_what_each_mirror_answered(tmp_path):
    root, empty = tmp_path / "root", tmp_path / "empty"
    empty.mkdir()
    with mirror(empty) as (url, _):
        message = refusal(idx.fetch, root, [NOBODY, url], {}, timeout=5)
    assert message.startswith(f"{root / TRAIN_IMAGES} is missing and could not be downloaded")
    assert re.search(rf"{NOBODY}{TRAIN_IMAGES}\n.*refused", message)
    assert "retries" not in message  # none were made, whatever requests says
    assert re.search(rf"{url}{TRAIN_IMAGES}\n.*404", message)


def test_a_folder_that_cannot_be_written_is_the_reason_given(tmp_path, published):
    (tmp_path / "file").write_text("")
    with mirror(published) as (url, _):
        message = refusal(idx.fetch, tmp_path / "file" / "root", [url], {}, timeout=5)
    assert "Not a directory" in message


def test_without_mirrors_a_missing_file_is_said_to_be_missing(tmp_path):
    assert "there is no mirror to ask" in refusal(idx.fetch, tmp_path, [], {}, timeout=5)


def fetch_in_a_process(root, url, sha256, stderr):
    fetch = f"idx.fetch(Path({str(root)!r}), [{url!r}], {sha256!r}, timeout=5)"
    code = f"from pathlib import Path; from initlab.data import idx; {fetch}"
    source = str(Path(idx.__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": source, "TERM": "xterm", "COLUMNS": "120"}
    return subprocess.Popen([sys.executable, "-c", code], stderr=stderr, env=environment)


def test_outside_a_terminal_each_download_is_one_line(tmp_path, published):
    with mirror(published) as (url, _):
        process = fetch_in_a_process(tmp_path / "root", url, hashes(published), subprocess.PIPE)
        lines = process.communicate()[1].decode().splitlines()
    assert process.returncode == 0
    assert len(lines) == 4
    assert all(url + file in line for file, line in zip(idx.FILES, lines, strict=True))


def test_in_a_terminal_a_bar_shows_the_progress(tmp_path, published):
    terminal, stderr = pytest.importorskip("pty").openpty()
    pytest.importorskip("termios").tcsetwinsize(stderr, (24, 80))
    with mirror(published) as (url, _):
        process = fetch_in_a_process(tmp_path / "root", url, hashes(published), stderr)
        os.close(stderr)
        shown = b""
        with contextlib.suppress(OSError):  # how a terminal on Linux says that nobody writes
            while chunk := os.read(terminal, 4096):
                shown += chunk
        process.wait()
    os.close(terminal)
    assert process.returncode == 0
    assert shown.decode().count("100%") >= len(idx.FILES)


def test_two_processes_may_download_at_once(tmp_path, published):
    root = tmp_path / "root"
    with mirror(published) as (url, _):
        both = [fetch_in_a_process(root, url, hashes(published), None) for _ in range(2)]
        assert [process.wait() for process in both] == [0, 0]
    assert sorted(path.name for path in root.iterdir()) == sorted(idx.FILES)
    assert hashes(root) == hashes(published)
