"""Files: their absolute names, reading those from outside, and writing them whole or not at all."""

import contextlib
import json
import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from genjax.errors import UserError

__all__ = [
    "absolute",
    "atomic_file",
    "cache_folder",
    "expanded",
    "is_temporary",
    "lives",
    "partial_folder",
    "read_json",
    "read_lines",
    "read_text",
    "require_file",
    "write_atomic",
    "writing",
]

MOST_JSON = 2**27  # bytes of a file of JSON: parsed, it is ten times as big


def absolute(path: str | Path) -> str:
    """The path from the root on, without `~`, `..` and a last slash; an address such as gs://bucket as it is."""
    return str(path) if "://" in str(path) else os.path.abspath(expanded(path))


def expanded(path: str | Path) -> Path:
    """The path without `~` and `~user`. Raises UserError where there is no such user."""
    found = os.path.expanduser(path)
    if str(found).startswith("~"):
        raise UserError(f"{path}: there is no such user")
    return Path(found)


def cache_folder(name: str, environ: Mapping[str, str] = os.environ) -> Path | None:
    """$XDG_CACHE_HOME/genjax/NAME or ~/.cache/genjax/NAME, made if need be; None where it cannot be written."""
    try:
        folder = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genjax" / name
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # read-only, or no home
        return None
    return folder if os.access(folder, os.W_OK) else None


def require_file(path: Path, most: int | None = None) -> None:
    """Raises UserError for what is no regular file, such as a pipe, which would be waited for; or too large a one.

    A file that is not there is an error too.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:  # the latter: a zero byte in the name
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: is not a regular file")
    if most is not None and found.st_size > most:
        raise UserError(f"{path}: has {found.st_size} bytes; at most {most} are read")


def read_text(path: Path, most: int | None = None) -> str:
    """The text of a regular file of UTF-8. Raises UserError, as `require_file`."""
    require_file(path, most)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.object[error.start]:#x})") from None


def read_lines(path: Path) -> list[str]:
    """The lines of a text, as `read_text`, without their ends: those of Windows have two characters."""
    lines = read_text(path).split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises UserError for anything else; NaN and infinity are no JSON."""
    try:
        value = json.loads(read_text(path, MOST_JSON), parse_constant=_refuse)
    except RecursionError:
        raise UserError(f"{path}: is nested too deeply") from None
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: must be a JSON object with named values, not {str(value)[:20]}")
    return value


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not a number")


def is_temporary(path: Path) -> bool:
    """Whether `write_atomic` has begun the file, and was killed."""
    return re.fullmatch(r"\..+\.\d+\.tmp", path.name) is not None


def write_atomic(path: Path, data: bytes) -> Path:
    """Writes the whole file or nothing: a reader never sees half of it. Raises UserError where it cannot."""
    with atomic_file(path) as file:
        file.write(data)
    return path


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when it is whole. Raises UserError where it cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                yield file
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises UserError where the disk refuses what stands inside, which writes to `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write {path}: {reason}; check the folder and the free space") from None


@contextlib.contextmanager
def partial_folder(out: Path) -> Iterator[Path]:
    """The name of a folder beside `out`, for what is not whole yet; if it is still there at the end, it is removed.

    A process that is killed, or ended by Ctrl-C, leaves its folder there. The next one for the same `out` removes it:
    the name says host and process, and a process of this host that is gone writes no more.
    """
    prefix = f".{out.name}.partial-{socket.gethostname()}-"
    folder = out.with_name(f"{prefix}{os.getpid()}")
    with contextlib.suppress(OSError):
        for old in list(out.parent.iterdir()):
            number = old.name.removeprefix(prefix)
            if old.name.startswith(prefix) and number.isdecimal() and (old == folder or not lives(int(number))):
                shutil.rmtree(old, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lives(pid: int) -> bool:
    """Whether this host has a process of that number."""
    try:
        os.kill(pid, 0)  # signal 0 is not sent: it only asks
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # somebody else's
    return True
