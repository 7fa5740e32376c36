"""The key file: made once, readable by its owner only, and never half written."""

import base64
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tollway.store.key_file import parse_key, read_or_make_key

READ = """
import sys
from pathlib import Path
from tollway.store.key_file import read_or_make_key
print(read_or_make_key(Path(sys.argv[1])).hex())
"""


def test_a_key_is_made_at_the_first_start_and_read_at_the_next(tmp_path: Path) -> None:
    path = tmp_path / "data.key"
    made = read_or_make_key(path)
    assert len(made) == 32
    assert read_or_make_key(path) == made
    assert read_or_make_key(tmp_path / "other.key") != made


def test_only_its_owner_may_read_it_and_no_draft_is_left(tmp_path: Path) -> None:
    path = tmp_path / "data.key"
    read_or_make_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_threads_that_make_it_at_once_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(read_or_make_key, [tmp_path / "data.key"] * 32))
    assert len(keys) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_two_processes_that_make_it_at_once_get_the_same_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", READ, str(tmp_path / "data.key")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate()[0] for process in started)
    assert len(bytes.fromhex(first)) == 32
    assert first == second


def test_a_key_that_somebody_put_there_is_taken_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "data.key"
    path.write_bytes(b"  " + base64.b64encode(b"k" * 32) + b"\r\n\n")
    before = path.read_bytes()
    assert read_or_make_key(path) == b"k" * 32
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"\n", b"not base64!", base64.b64encode(b"k" * 31), b"\xff\xfe"])
def test_a_damaged_key_file_is_an_error_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.key"
    path.write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011 - the texts differ, and are not the point
        read_or_make_key(path)
    assert path.read_bytes() == content


def test_a_folder_that_is_missing_or_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_or_make_key(tmp_path / "missing" / "data.key")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        read_or_make_key(tmp_path / "file" / "data.key")
    with pytest.raises(IsADirectoryError):
        read_or_make_key(tmp_path)


def test_a_link_to_nowhere_is_not_written_through(tmp_path: Path) -> None:
    path = tmp_path / "data.key"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        read_or_make_key(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        parse_key(base64.b64encode(b"k" * length).decode())


@pytest.mark.parametrize("text", ["", "é", "a key", "-" * 43 + "=", "A" * 43])
def test_text_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"32 bytes|ASCII"):
        parse_key(text)
