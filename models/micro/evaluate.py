#!/usr/bin/env python3
"""Measures ranked repair: `agent fix --strategy repair` on projects with a bug, tests executed, and orders side by side.

    evaluate.py run AGENT PROJECTS RESULTS.jsonl [--order ranked|modelless|blind|written] [--jobs N] [-- FLAGS OF AGENT]
    evaluate.py report RESULTS.jsonl ... [--outcomes OUTCOMES.jsonl]
    evaluate.py cases AGENT [-- FLAGS OF AGENT]

`run` lets the agent mend a copy of every project in PROJECTS (as `episodes projects` makes them: NNN/project, NNN/hidden,
NNN/meta.json), with a state of its own, and writes one line a project. With the order `written` nothing is ranked: the model
reads and edits as it likes, in the loop. Whether a claimed fix is true the hidden tests say, which the agent never sees. What
RESULTS holds already is not run again. `report` prints the tables; with OUTCOMES (as `episodes outcomes` makes them) it adds the
orders that need no agent: blind, and the best without a model. `cases` runs the hand-written ones in `cases/`.

Standard library only.
"""

import argparse
import collections
import concurrent.futures
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TRIES = (1, 3, 8, 32)
# Beyond this the agent is stopped, and the bug counts as not fixed.
PATIENCE = 300
LEVELS = ("explicit", "hinted", "vague")


def environment(home):
    """The environment of the agent and of hidden tests: nothing of the caller's settings, caches of compilers kept."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENT_", "GIT_")) and name != "CARGO_TARGET_DIR"}
    return kept | {"AGENT_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


def fix(agent, home, project, issue, order, flags):
    """The agent's JSON about one project, and the seconds that it took as a whole."""
    strategy = ["--strategy", "loop"] if order == "written" else ["--strategy", "repair", "--order", order]
    command = [agent, "-C", project, "fix", "--issue", f"@{issue}", *strategy, "--output", "json", *flags]
    begun = time.monotonic()
    try:
        ended = subprocess.run(command, env=environment(home), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return {"status": "timeout"}, time.monotonic() - begun
    took = time.monotonic() - begun
    try:
        return json.loads(ended.stdout), took
    except ValueError:
        return {"status": "error", "summary": (ended.stderr or ended.stdout)[-2000:]}, took


def holds(project, patch, hidden, command, home):
    """Whether the hidden tests pass once the patch is in a fresh copy of the project."""
    with tempfile.TemporaryDirectory(prefix="hidden-") as scratch:
        copy = pathlib.Path(scratch) / "project"
        shutil.copytree(project, copy)
        applied = subprocess.run(["git", "apply"], cwd=copy, input=patch, text=True, capture_output=True)
        if applied.returncode != 0:
            return False
        shutil.copytree(hidden, copy, dirs_exist_ok=True)
        try:
            return subprocess.run(command, shell=True, cwd=copy, env=environment(home), capture_output=True, timeout=120).returncode == 0
        except subprocess.TimeoutExpired:
            return False


def one(agent, folder, order, flags):
    """One line of the results."""
    meta = json.loads((folder / "meta.json").read_text())
    with tempfile.TemporaryDirectory(prefix="evaluate-") as scratch:
        scratch = pathlib.Path(scratch)
        home, project, issue = scratch / "home", scratch / "project", scratch / "issue.txt"
        shutil.copytree(folder / "project", project)
        issue.write_text(meta["issue"])
        said, took = fix(agent, home, project, issue, order, flags)
        patch = said.get("patch") or ""
        holding = bool(patch) and holds(folder / "project", patch, folder / "hidden", meta["hidden_test"], home)
    ranked = said.get("ranked") or {}
    return {
        "project": folder.name,
        **{key: meta[key] for key in ("kind", "level", "language", "source", "function")},
        "order": order,
        "status": said["status"],
        "summary": said.get("summary", ""),
        **{key: ranked.get(key) for key in ("rank", "tried", "tests", "candidates", "scored", "suspects")},
        "rivals": len(ranked.get("rivals") or []),
        "by": ranked.get("order"),
        "true": holding,
        # Which of several true mendings it is does not matter; that it is the one that was expected is worth knowing.
        "expected": f"+{meta['right']}" in patch.splitlines(),
        "seconds": round(took, 2),
    }


def run(args):
    folders = sorted(path.parent for path in pathlib.Path(args.projects).glob("*/meta.json"))
    folders = folders[: args.limit]
    done = {row["project"] for row in read(args.results)} if os.path.exists(args.results) else set()
    agent = str(pathlib.Path(args.agent).resolve())
    begun = time.monotonic()
    with open(args.results, "a") as results, concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        waiting = [pool.submit(one, agent, folder, args.order, args.flags) for folder in folders if folder.name not in done]
        for number, ended in enumerate(concurrent.futures.as_completed(waiting), 1):
            results.write(json.dumps(ended.result()) + "\n")
            results.flush()
            if number % 20 == 0:
                print(f"{number} of {len(waiting)}, {time.monotonic() - begun:.0f} s", file=sys.stderr)
    print(f"{len(waiting)} projects in {time.monotonic() - begun:.0f} s", file=sys.stderr)
    table(args.results, read(args.results))


def read(path):
    with open(path) as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    return sorted(rows, key=lambda row: row["project"])


def percent(part, whole):
    return f"{100 * part / whole:5.1f}" if whole else "    -"


def within(rank, tries):
    return rank is not None and rank <= tries


def shares(ranks):
    """The shares that pass within so many test runs. A rank may be a function of the tries: an expectation."""
    found = [sum(rank(tries) if callable(rank) else within(rank, tries) for rank in ranks) for tries in TRIES]
    return "".join(f" {percent(part, len(ranks))}" for part in found)


def groups(rows):
    """All rows, then those of each level, language and kind."""
    yield "all", rows
    for key in ("level", "language", "kind"):
        values = collections.Counter(row[key] for row in rows)
        listed = [level for level in LEVELS if level in values] if key == "level" else sorted(values)
        for value in listed:
            yield value, [row for row in rows if row[key] == value]


def table(title, rows):
    """What one run of the agent came to. A pass: the first change that makes the visible tests pass."""
    print(f"\n{title}: verified within so many test runs, in percent; then what was claimed")
    print(f"{'':12}    n" + "".join(f" {'@' + str(tries):>5}" for tries in TRIES) + "  fixed  true false rivals  median s")
    for name, group in groups(rows):
        fixed = [row for row in group if row["status"] == "fixed"]
        true = sum(row["true"] for row in fixed)
        rivalled = sum(row["status"] == "unverified" for row in group)
        seconds = statistics.median(row["seconds"] for row in group)
        claims = f"  {len(fixed):5d} {true:5d} {len(fixed) - true:5d}  {rivalled:5d}  {seconds:8.1f}"
        print(f"{name:12} {len(group):4d}{shares([row['rank'] for row in group])}{claims}")
    for row in rows:
        if row["status"] == "fixed" and not row["true"]:
            print(f"  called fixed, and the hidden tests fail: {row['project']} ({row['kind']}, {row['language']}, try {row['rank']})")
    troubled = [row for row in rows if row["status"] in ("error", "timeout")]
    for row in troubled:
        print(f"  {row['status']}: {row['project']} {row['summary'][:200]!r}")


def chance_of(passing, candidates):
    """How likely a shuffled order has one of the passing candidates among its first `tries`."""
    return lambda tries: 1 - math.comb(candidates - passing, min(tries, candidates)) / math.comb(candidates, min(tries, candidates))


def first(order, good):
    """The place, from 1, of the first good candidate."""
    return next((place for place, at in enumerate(order, 1) if good[at]), None)


def orders(outcome):
    """Ranks of one project by the orders that need no agent."""
    passes = outcome["passes"]
    words = [sum(row[1:3]) for row in outcome["features"]]  # `removed` and `added`, see repair::order
    everything = range(len(passes))
    found = {
        "blind (expected)": chance_of(sum(passes), len(passes)),
        "top to bottom": first(everything, passes),
        "issue's words, then top to bottom": first(sorted(everything, key=lambda at: -words[at]), passes),
        "best without a model": first(outcome["modelless"], passes),
    }
    return found


def compare(path, rows):
    """The orders of OUTCOMES on the same projects, and how many candidates pass though they are no true mending."""
    outcomes = read(path)
    facts = {row["project"]: row for row in rows}
    print(f"\n{path}: verified within so many test runs, every candidate really tried")
    print(f"{'':34}    n" + "".join(f" {'@' + str(tries):>5}" for tries in TRIES))
    found = collections.defaultdict(list)
    by_level = collections.defaultdict(list)
    for outcome in outcomes:
        for name, rank in orders(outcome).items():
            found[name].append(rank)
            if outcome["project"] in facts:
                by_level[name, facts[outcome["project"]]["level"]].append(rank)
    for name, ranks in found.items():
        print(f"{name:34} {len(ranks):4d}{shares(ranks)}")
    for level in LEVELS:
        for name in found:
            if ranks := by_level[name, level]:
                print(f"  {level + ': ' + name:32} {len(ranks):4d}{shares(ranks)}")
    counts = [len(outcome["passes"]) for outcome in outcomes]
    none = sum(not any(outcome["passes"]) for outcome in outcomes)
    lost = sum(outcome["right"] is None for outcome in outcomes)
    passing = sum(sum(outcome["passes"]) for outcome in outcomes)
    wrong = passing - sum(sum(outcome["hidden_passes"]) for outcome in outcomes)
    print(f"candidates: median {statistics.median(counts):.0f}, mean {statistics.mean(counts):.1f}; in {lost} of {len(outcomes)} projects the original is none of them, in {none} nothing passes")
    print(f"of {passing} candidates that pass the visible tests {wrong} fail the hidden ones")


def report(args):
    everything = [(path, read(path)) for path in args.results]
    for path, rows in everything:
        table(path, rows)
    if args.outcomes:
        compare(args.outcomes, everything[0][1] if everything else [])


def cases(args):
    """Each hand-written case on a line of its own, none left out."""
    agent = str(pathlib.Path(args.agent).resolve())
    fixed = 0
    for folder in sorted((HERE / "cases").iterdir()):
        with tempfile.TemporaryDirectory(prefix="case-") as scratch:
            scratch = pathlib.Path(scratch)
            project = scratch / "project"
            shutil.copytree(folder / "project", project)
            identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
            for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "as it is"]):
                subprocess.run(["git", *command], cwd=project, env=environment(scratch / "home"), check=True)
            said, took = fix(agent, scratch / "home", project, folder / "issue.txt", args.order, args.flags)
        ranked = said.get("ranked") or {}
        changed = lambda text: [line for line in text.splitlines() if line.startswith(("+", "-")) and not line.startswith(("+++", "---"))]
        expected = changed(said.get("patch") or "") == changed((folder / "expected.patch").read_text())
        fixed += said["status"] == "fixed" and expected
        rank = ranked.get("rank")
        rivals = len(ranked.get("rivals") or [])
        print(f"{folder.name:14} {said['status']:10} try {rank or '-':>3} of {ranked.get('candidates', '-'):>3}, {rivals} rivals, "
              f"{'as expected' if expected else 'not as expected'}, {took:.1f} s")
    print(f"{fixed} fixed as expected")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("run")
    command.add_argument("agent")
    command.add_argument("projects")
    command.add_argument("results")
    command.add_argument("--jobs", type=int, default=1)
    command.add_argument("--limit", type=int, help="only the first so many projects")
    command.set_defaults(do=run)
    command = commands.add_parser("report")
    command.add_argument("results", nargs="*")
    command.add_argument("--outcomes")
    command.set_defaults(do=report)
    command = commands.add_parser("cases")
    command.add_argument("agent")
    command.set_defaults(do=cases)
    for command in (commands.choices["run"], commands.choices["cases"]):
        command.add_argument("--order", choices=("ranked", "modelless", "blind", "written"), default="ranked")
    # What stands behind `--` is the agent's.
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    args = parser.parse_args(sys.argv[1:end])
    args.flags = sys.argv[end + 1 :]
    args.do(args)


if __name__ == "__main__":
    main()
