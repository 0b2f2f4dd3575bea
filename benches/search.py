#!/usr/bin/env python3
"""Compares `agent tool search` with ripgrep, whole processes, on the same tree.

    python3 benches/search.py --agent BINARY --rg BINARY [--runs N] [--cold] TREE

Runs alternate, so that what else the machine does falls on both. `--cold` has the kernel forget the content of the tree's files
before each run (Linux; their names stay known).
Wall and CPU seconds: the median and the least; the ratio is that of the medians, and of the least.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

# One that is rare, one that stands in most files, one that begins with no literal, one that is nowhere.
PATTERNS = ["get_context_data", "import", r"\w+_total\(", "surely_nowhere_at_all"]


def run(command, cold):
    for where, _, names in os.walk(cold) if cold else ():
        for name in names:
            handle = os.open(os.path.join(where, name), os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)
    begun = time.perf_counter()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(child.pid, 0)
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", required=True)
    parser.add_argument("--rg", required=True)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("tree")
    options = parser.parse_args()
    print("| pattern | | wall median ms | wall least ms | cpu median ms | ratio of medians | ratio of least |\n|---|---|---|---|---|---|---|")
    for pattern in PATTERNS:
        call = json.dumps({"pattern": pattern})
        commands = {
            # Hidden files too, and sorted as the tool sorts: by default rg does neither.
            "rg": [options.rg, "--hidden", "-c", pattern, options.tree],
            "agent": [options.agent, "-C", options.tree, "tool", "search", call],
        }
        times = {who: [] for who in commands}
        for _ in range(options.runs):
            for who, command in commands.items():
                times[who].append(run(command, options.tree if options.cold else None))
        median = {who: statistics.median(wall for wall, _ in rows) for who, rows in times.items()}
        least = {who: min(wall for wall, _ in rows) for who, rows in times.items()}
        for who, rows in times.items():
            cpu = statistics.median(cpu for _, cpu in rows)
            ratios = f"{median[who] / median['rg']:.2f} | {least[who] / least['rg']:.2f}"
            print(f"| `{pattern}` | {who} | {median[who] * 1e3:.0f} | {least[who] * 1e3:.0f} | {cpu * 1e3:.0f} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
