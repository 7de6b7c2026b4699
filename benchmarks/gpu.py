"""One record of one GPU, in under eight minutes: checks, recipes and pairs, each in a process of its own.

    benchmarks/gpu.sh [--tiny] [--parts NAME ...] [--out DIR] [--seconds 470]

A part that fails, or takes too long, leaves its error in the record, and the others go on. The record has the form of
`records.py`, with "checks" (packages, attention, peaks), "errors" and "seconds" (by part) beside.
"""

import argparse
import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import gpu_parts
import records
import report

from genjax.files import write_atomic

TAIL = 1500  # characters of an error that are kept


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, to try the program without a GPU")
    parser.add_argument("--parts", nargs="+", choices=gpu_parts.PARTS, default=list(gpu_parts.PARTS), metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT") or records.FOLDER))
    parser.add_argument("--seconds", type=float, default=470, help="after which no part goes on")
    parser.add_argument("--part", choices=gpu_parts.PARTS, help=argparse.SUPPRESS)  # in a process of its own
    args = parser.parse_args(argv)
    if args.part:
        return run_part(args.part, args.tiny, args.out)
    end = time.monotonic() + args.seconds
    record = {"format": records.FORMAT, "date": datetime.date.today().isoformat(), "hardware": None}
    record |= {part: {} for part in (*records.PARTS, "checks", "errors", "seconds")}
    with tempfile.TemporaryDirectory() as folder:
        environment = environment_of_parts(folder)
        for name in dict.fromkeys(["machine", *args.parts]):
            begin = time.monotonic()
            found, error = in_a_process(name, args.tiny, environment, Path(folder), end)
            if error:
                record["errors"][name] = error
            record["seconds"][name] = round(time.monotonic() - begin, 1)
            merge(record, found, ["benchmarks/gpu.sh", *argv])
            path = write(args.out, record)
            print(f"{name}: {summary(found, error)}  [{record['seconds'][name]} s]", flush=True)
    print(path)
    return min(len(record["errors"]), 1)


def environment_of_parts(folder: str) -> dict[str, str]:
    """What is compiled for a recipe serves its pair; the card's memory is shared with PyTorch."""
    given = {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_COMPILATION_CACHE_DIR": f"{folder}/jax",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TORCHINDUCTOR_CACHE_DIR": f"{folder}/torch",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    return given | dict(os.environ)


def in_a_process(name: str, tiny: bool, environment: dict, folder: Path, end: float) -> tuple[dict, str | None]:
    """What a part found, and its error."""
    limit = min(gpu_parts.PARTS[name][1], end - time.monotonic())
    if limit < 10:
        return {}, "no time was left"
    file, log = folder / f"{name}.json", folder / f"{name}.log"
    command = [sys.executable, __file__, "--part", name, "--out", str(file), *["--tiny"] * tiny]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = f"it took more than {limit:.0f} s"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the workers of torch.compile too
    if status == 0:
        return json.loads(file.read_text()), None
    return {}, f"{status}: {log.read_text(errors='replace')[-TAIL:]}"


def run_part(name: str, tiny: bool, out: Path) -> int:
    try:
        found = gpu_parts.PARTS[name][0](tiny)
    except Exception:  # of whatever kind: it is the record's
        traceback.print_exc()
        return 1
    out.write_text(json.dumps(found))
    return 0


def merge(record: dict, found: dict, argv: list[str]) -> None:
    record["hardware"] = found.get("hardware") or record["hardware"]
    record["checks"] |= found.get("checks", {})
    for part in records.PARTS:
        for name, entry in found.get(part, {}).items():
            entry |= records.provenance(argv, os.getloadavg()[0], None)
            record[part][records.key(name, entry)] = entry


def write(folder: Path, record: dict) -> Path:
    name = records.slug(record["hardware"]) if record["hardware"] else "unknown"
    path = folder / f"{record['date']}-{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (json.dumps(record, indent=1) + "\n").encode())
    return path


def summary(found: dict, error: str | None) -> str:
    if error:
        return f"FAILED, {error}"
    lines = [report.line(p, n, e) + share(e) for p in records.PARTS for n, e in found.get(p, {}).items()]
    return "; ".join(lines) or json.dumps(found)


def share(entry: dict) -> str:
    """MFU, memory and compile time of a recipe."""
    if "mfu" not in entry:
        return ""
    speed = f", {entry['tokens_per_second']:,.0f} tokens/s" if entry["tokens_per_second"] else ""
    mfu = f", MFU {entry['mfu']:.1%}" if entry["mfu"] else ""
    memory = f", {entry['peak_memory_bytes'] / 2**30:.1f} GiB"
    examples, compiling = entry["examples_per_second"], entry["compile_seconds"]
    return f"{speed}{mfu}{memory}, {examples:,.0f} examples/s, compile {compiling:.0f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
