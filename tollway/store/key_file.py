"""The keys that seal stored secrets: given as text, or kept in a file that is made once.

Owns the file (mode 0600) and the form of a key; does not own sealing (`store/vault.py`).
"""

import base64
import binascii
import contextlib
import os
import tempfile
from pathlib import Path

KEY_BYTES = 32


def parse_key(text: str) -> bytes:
    """A key from base64; ValueError if it is not 32 bytes."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key is {KEY_BYTES} bytes in base64")
    return key


def read_or_make_key(path: Path) -> bytes:
    """The key in the file, which is made if there is none; OSError, ValueError."""
    if not path.exists():
        _make(path)
    return parse_key(path.read_text("ascii"))


def _make(path: Path) -> None:
    """Write a new key whole or not at all, and never over one that another process just made."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
