#!/usr/bin/env python3
"""Compares `agent map` with aider's RepoMap: time, memory, budget, and how often a map shows what a commit touched.

    python3 benches/map.py --agent BINARY --aider PYTHON time TREE...
    python3 benches/map.py --agent BINARY --aider PYTHON rank NAME=HISTORY...

PYTHON is an interpreter that has aider-chat 0.86; no model and no network is used. Both are given the same files, and count a
token as three bytes. Aider is asked as its own `get_repo_map` asks it: with the files and identifiers that its coder finds in
the message (`aider/coders/base_coder.py`). With no file in the chat it takes eight times the budget by itself, so the function
behind it is called with the budget as it is.

A HISTORY is a git repository (its last commits, each asked on its parent's tree), or a folder with `tree/` and `series/*.patch`
(each patch asked on that one tree; a patch begins with its message). A commit counts by the share of its files, those that the
tree has, which the map shows. Trees are copied; nothing is written into them.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BUDGET = 2048
COMMITS = 50
# What aider reads, and git would list: its own cache apart.
SKIPPED = (".git", ".aider.tags.cache")


def files_of(tree):
    found = []
    for where, dirs, names in os.walk(tree):
        dirs[:] = sorted(d for d in dirs if not d.startswith(SKIPPED))
        found += [os.path.relpath(os.path.join(where, name), tree) for name in sorted(names)]
    return [f for f in found if os.path.isfile(os.path.join(tree, f))]


# ---- inside aider's interpreter ----


def aider_side():
    from aider.repomap import RepoMap

    class Io:
        def read_text(self, path):
            try:
                return pathlib.Path(path).read_text(encoding="utf-8")
            except (OSError, UnicodeError):
                return None

        def tool_output(self, *_, **__):
            pass

        tool_warning = tool_error = tool_output

    class Model:
        def token_count(self, text):
            return (len(text.encode()) + 2) // 3

    tree = sys.argv[2]
    files = files_of(tree)
    mapper = RepoMap(map_tokens=BUDGET, root=tree, main_model=Model(), io=Io(), refresh="always")
    absolute = [os.path.join(tree, f) for f in files]
    for line in sys.stdin:
        message = json.loads(line)
        words = {word.rstrip(",.!;:?").strip("\"'`*_") for word in message.split()}
        by_name, by_stem = {}, {}
        for f in files:
            name = os.path.basename(f)
            if any(c in name for c in "._-"):
                by_name.setdefault(name, []).append(f)
            if len(pathlib.Path(f).stem) >= 5:
                by_stem.setdefault(pathlib.Path(f).stem.lower(), set()).add(f)
        named = {f for f in files if f in words}
        named |= {fs[0] for name, fs in by_name.items() if len(fs) == 1 and name in words}
        idents = set(re.split(r"\W+", message))
        for ident in idents:
            if len(ident) >= 5:
                named |= by_stem.get(ident.lower(), set())
        begun = time.perf_counter()
        text = mapper.get_ranked_tags_map([], absolute, BUDGET, named, idents) or ""
        took = time.perf_counter() - begun
        print(json.dumps({"text": text, "seconds": took}), flush=True)


# ---- outside ----


def measured(command, text="", env=None):
    """Runs a process: its output, wall seconds, CPU seconds, peak MB."""
    begun = time.perf_counter()
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
    child.stdin.write(text.encode())
    child.stdin.close()
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{command[0]} ended with {status}")
    return out.decode(), time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def agent_map(agent, home, tree, query):
    env = {"PATH": os.environ["PATH"], "AGENT_HOME": str(home)}
    # A message that is longer than an argument may be is cut: what it is about stands at its beginning.
    command = [agent, "-C", str(tree), "map", "--tokens", str(BUDGET), "--query", query[:100_000], "--output", "json"]
    out, wall, cpu, peak = measured(command, env=env)
    return json.loads(out), wall, cpu, peak


def aider_map(python, tree, query):
    out, wall, cpu, peak = measured([python, __file__, "--inside", str(tree)], json.dumps(query) + "\n")
    return json.loads(out), wall, cpu, peak


def aider_whole(python, tree):
    """`aider --show-repo-map`, as a person runs it: in a repository, with a cache of its own."""
    if not (tree / ".git").exists():
        shutil.rmtree(tree / ".aider.tags.cache.v4", ignore_errors=True)
        git = ["git", "-C", str(tree), "-c", "user.name=a", "-c", "user.email=a@b"]
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
            subprocess.run([*git, *words], check=True)
    flags = "--no-check-update --no-show-model-warnings --analytics-disable --no-gitignore --yes-always --no-pretty"
    model = f"--model gpt-4o --openai-api-key none --map-tokens {BUDGET}"
    command = ["sh", "-c", f'cd "$1" && exec "$2" -m aider --show-repo-map {model} {flags}', "sh", str(tree), python]
    return measured(command)


def tokens(text):
    return (len(text.encode()) + 2) // 3


def compare_time(options):
    print(f"| tree | files | | cold s | cpu s | warm s | MB cold | MB warm | tokens of {BUDGET} |\n|---|---|---|---|---|---|---|---|---|")
    for tree in options.what:
        with tempfile.TemporaryDirectory() as held:
            copy, home = pathlib.Path(held) / "tree", pathlib.Path(held) / "home"
            shutil.copytree(tree, copy, symlinks=True)
            count, query = len(files_of(copy)), "Error handling when the parser reads a request with an empty header"
            agent = [agent_map(options.agent, home, copy, query) for _ in range(6)]
            report(tree, count, "agent", agent, tokens(agent[0][0]["text"]))
            if options.aider:
                aider = [aider_map(options.aider, copy, query) for _ in range(3)]
                report(tree, count, "aider's class", aider, tokens(aider[0][0]["text"]))
                whole = [aider_whole(options.aider, copy) for _ in range(3)]
                report(tree, count, "aider", whole, tokens(whole[0][0]))


def report(tree, count, who, runs, used):
    (_, cold, cpu, peak), warm = runs[0], runs[1:]
    warm_s, warm_mb = statistics.median(run[1] for run in warm), max(run[3] for run in warm)
    name = pathlib.Path(tree).name
    print(f"| {name} | {count} | {who} | {cold:.2f} | {cpu:.2f} | {warm_s:.3f} | {peak:.0f} | {warm_mb:.0f} | {used} |", flush=True)


def commits(history, skip):
    """Yields (message, files touched, function that puts the tree in place)."""
    if (history / "series").is_dir():
        for patch in sorted((history / "series").glob("*.patch"))[skip : skip + COMMITS]:
            text = patch.read_text(errors="replace")
            head = re.split(r"^(?:---|diff |Index: |\+\+\+ )", text, maxsplit=1, flags=re.M)[0]
            # Who carried it where, and the patch's own file name, are no part of the message.
            noise = r"^(From |From:|Date:|Origin|Forwarded|Last-Update|Patch-Name|Applied-Upstream|Bug|Author|Reviewed|Signed|Gbp).*$"
            message = re.sub(r"^Subject:( *\[PATCH[^]]*\])?", "", re.sub(noise, "", head, flags=re.M), flags=re.M).strip()
            touched = {m.split("/", 1)[1] for m in re.findall(r"^\+\+\+ ([^\s]+/[^\s]+)", text, re.M)}
            yield message, touched, lambda tree: None
    else:
        git = lambda *a: subprocess.run(["git", "-C", str(history), *a], capture_output=True, text=True, check=True).stdout
        for commit in git("rev-list", "--no-merges", f"--skip={skip}", f"-{COMMITS}", "HEAD").split():
            message = git("log", "-1", "--format=%B", commit)
            touched = set(git("diff-tree", "-r", "--no-commit-id", "--name-only", "--diff-filter=MD", commit).split("\n")) - {""}

            def place(tree, commit=commit):
                subprocess.run(["git", "-C", str(tree), "checkout", "-q", "-f", f"{commit}^"], check=True)

            yield message, touched, place


def shown(text, files):
    """The files that a map shows: each stands at the beginning of a line."""
    heads = {line.rstrip(":") for line in text.splitlines()}
    return heads & files


def compare_rank(options):
    print(f"| history | commits | | recall of files | commits with one at least | with all | most tokens |\n|---|---|---|---|---|---|---|")
    for what in options.what:
        name, path = what.split("=", 1)
        history = pathlib.Path(path)
        with tempfile.TemporaryDirectory() as held:
            tree, home = pathlib.Path(held) / "tree", pathlib.Path(held) / "home"
            if (history / "series").is_dir():
                shutil.copytree(history / "tree", tree, symlinks=True)
            else:
                subprocess.run(["git", "clone", "-q", str(history), str(tree)], check=True)
            results = {"agent": [], "aider": []}
            for message, touched, place in commits(history, options.skip):
                place(tree)
                files = set(files_of(tree))
                wanted = touched & files
                if not wanted:
                    continue
                told = {"agent": agent_map(options.agent, home, tree, message)[0]["text"]}
                if options.aider:
                    told["aider"] = aider_map(options.aider, tree, message)[0]["text"]
                for who, text in told.items():
                    found = shown(text, files) & wanted
                    results[who].append((len(found) / len(wanted), tokens(text)))
                    if options.verbose:
                        print(f"{who} {message.splitlines()[0][:70]!r}: {sorted(found)} of {sorted(wanted)}", file=sys.stderr)
            for who, rows in results.items():
                if rows:
                    recall = statistics.mean(r for r, _ in rows)
                    some, whole = (sum(r > 0 for r, _ in rows), sum(r == 1 for r, _ in rows))
                    print(f"| {name} | {len(rows)} | {who} | {recall:.3f} | {some} | {whole} | {max(t for _, t in rows)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", required=True)
    parser.add_argument("--aider", help="an interpreter with aider-chat 0.86; without it only agent is measured")
    parser.add_argument("--skip", type=int, default=0, help="commits to leave out at the end of a history")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("how", choices=["time", "rank"])
    parser.add_argument("what", nargs="+")
    options = parser.parse_args()
    (compare_time if options.how == "time" else compare_rank)(options)


if __name__ == "__main__":
    aider_side() if sys.argv[1:2] == ["--inside"] else main()
