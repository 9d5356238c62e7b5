"""Runs every benchmark and writes what they print to bench/RESULTS.md, with machine and day.

    python -m bench.results [--long] [NAME …]

With names only these run again; the others' results stay. `--long` takes hours and needs some ten
gigabytes of disk.
"""

import argparse
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

RESULTS = Path(__file__).with_name("RESULTS.md")
_HEAD = "# What the benchmarks print"


class Benchmark(NamedTuple):
    """A program of this folder, with its arguments for a short and for a long run."""

    name: str
    short: str
    long: str


BENCHMARKS = (
    Benchmark("webhooks", "--rounds 2 --seconds 1", "--rounds 6 --seconds 3"),
    Benchmark("collector", "--rounds 2 --seconds 1", "--rounds 6 --seconds 3"),
    Benchmark("databases", "--rounds 2 --seconds 1 --rows 5000", "--rounds 6 --seconds 3"),
    Benchmark("workers", "--rounds 2 --seconds 1", "--rounds 6 --seconds 3"),
    Benchmark("scale", "--seconds 2", "--seconds 5"),
    Benchmark("reports", "--events 100000 --rounds 2", "--events 10000000 --rounds 5"),
    Benchmark("pages", "--events 100000 --rounds 2", "--events 10000000 --rounds 5"),
    Benchmark("growth", "--events 100000 --rounds 2", "--events 10000000 --rounds 9"),
    Benchmark("imports", "--rows 10000 --rounds 1", "--rows 200000 --rounds 3"),
    Benchmark("drain", "--events 5000 --rounds 1", "--events 200000 --rounds 3"),
    Benchmark("memory", "--webhooks 5000 --funnels 20", "--webhooks 200000"),
    Benchmark("storage", "--items 1000", "--items 10000"),
)


def main() -> None:
    """Runs the benchmarks one after the other, and writes after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    known = {benchmark.name for benchmark in BENCHMARKS}
    if unknown := {*args.names} - known:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    results = _sections()
    for benchmark in BENCHMARKS:
        if not args.names or benchmark.name in args.names:
            arguments = benchmark.long if args.long else benchmark.short
            results[benchmark.name] = run(benchmark.name, arguments.split())
            _write(results)


def run(name: str, arguments: list[str]) -> str:
    """Runs one benchmark; returns its section."""
    command = ["-m", f"bench.{name}", *arguments]
    print(f"python {' '.join(command)}", flush=True)
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench.{name} failed:\n{done.stderr}")
    print(done.stdout, flush=True)
    day = datetime.now(tz=UTC).date().isoformat()
    load = os.getloadavg()[1]
    return (
        f"{day}, {machine()}, load {load:.1f} at the end\n\n"
        f"```text\n$ python {' '.join(command)}\n{done.stdout.strip()}\n```\n"
    )


def machine() -> str:
    """Returns the processor, its cores and the memory."""
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cpu[1] if cpu else 'unknown'}, {os.cpu_count()} cores, {memory:.0f} GiB"


def _sections() -> dict[str, str]:
    if not RESULTS.exists():
        return {}
    parts = re.split(r"^## (\w+)\n\n", RESULTS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (text.strip() + "\n" for text in parts[2::2]), strict=True))


def _write(results: dict[str, str]) -> None:
    note = "Written by `python -m bench.results`; other work beside it lengthens times."
    text = f"{_HEAD}\n\n{note}\n"
    for benchmark in BENCHMARKS:
        if benchmark.name in results:
            text += f"\n## {benchmark.name}\n\n{results[benchmark.name]}"
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
