#!/usr/bin/env python3
"""Finds calls of a Python function whose results can be written down.

Reads objects `{"id", "module", "name", "seed"}`, one a line, and answers each with `{"id", "rows"}`: rows are `{"call",
"expected"}` or `{"call", "raises"}`, all Python source text, the ones that reach new code first. A function that takes other
types than these, prints, changes its arguments, or never returns has no rows; nor has one of whose lines too few were reached.

Every function runs in a child of its own with limits on time and memory, behind an audit hook that refuses files, processes
and the network. Standard library only; Linux and macOS.
"""

import ast
import io
import itertools
import json
import os
import random
import resource
import select
import signal
import sys
import time

SECONDS = 10  # for all calls of one function
CALL_SECONDS = 0.25
MEMORY = 1 << 30
TRIES = 700
LONGEST = 110  # characters of an argument list or a result: longer ones say nothing to a reader
WANTED = 64
COVERED = 0.85  # of the function's lines, by all its rows

POOLS = {
    "int": ["0", "1", "2", "3", "-1", "5", "7", "8", "10", "12", "16", "-4", "31", "64", "100", "255", "365", "1000", "1999", "2024", "65536"],
    "float": ["0.0", "1.0", "0.5", "-1.5", "2.25", "3.75", "10.0", "99.9", "-0.25", "0.1", "1e-06", "12345.678"],
    "str": ["''", "'a'", "'abc'", "'Hello World'", "'  padded  '", "'a,b,,c'", "'key=value'", "'12'", "'-3.5'", "'foo_bar-baz'",
            "'CamelCaseName'", "'dir/file.txt'", "'/usr/lib/x.tar.gz'", "'\"quoted\"'", "'one\\ntwo\\n\\nthree'", "'a.b.c'", "'1.2.3'",
            "'2024-02-29'", "'12:34:56'", "'#ff8800'", "'<b>bold</b>'", "'ann@example.com'", "'AAA'", "'aab'", "'http://example.com/a?b=c#d'",
            "'0x1F'", "'%d items'", "'true'", "'No'", "' x'", "'x '", "'a b'", "'caf\\xe9'", "'[x]'", "'(a (b))'", "'--flag'", "'x=1;y=2'"],
    "bool": ["True", "False"],
    "none": ["None"],
    "bytes": ["b''", "b'a'", "b'abc'", "b'\\x00\\xff'", "b'key: value'", "b'12'", "b'one\\ntwo'"],
    "ints": ["[]", "[1]", "[1, 2, 3]", "[3, 1, 2]", "[2, 2, 2]", "[-1, 0, 5]", "[10, 20, 30, 40]", "[5, 5]", "[0]", "[1, 3, 2, 3, 1]", "[9, 8, 7, 6, 5]"],
    "strs": ["[]", "['a']", "['a', 'b']", "['b', 'a', 'b']", "['']", "['x', '', 'y']", "['one', 'two', 'three']", "['-v', 'file']", "['k=1', 'j=2']"],
    "floats": ["[0.5]", "[1.0, 2.0]", "[2.5, -1.5, 4.0]", "[1.0, 1.0, 1.0]", "[3.0, 1.0, 2.0, 10.0]"],
    "rows": ["[[1, 2], [3, 4]]", "[[1]]", "[[]]", "[[1, 2, 3], [4, 5, 6]]", "[[0, 1], [1, 0]]", "[['a', 'b'], ['c']]"],
    "pairs": ["[('a', 1)]", "[('a', 1), ('b', 2)]", "[('k', 'v'), ('k', 'w')]", "[(1, 2), (2, 3), (3, 1)]", "[(0, 5), (3, 8)]"],
    "counts": ["{}", "{'a': 1}", "{'a': 1, 'b': 2}", "{'x': 0, 'y': -1, 'z': 5}", "{'name': 3}"],
    "words": ["{'a': 'b'}", "{'name': 'Ann', 'role': 'dev'}", "{'key': ''}", "{'a': 'x', 'b': 'x'}"],
    "nested": ["{'a': {'b': 1}}", "{'a': [1, 2], 'b': []}", "{'x': None}", "{'a': {'b': {'c': 2}}, 'd': 3}"],
    "tuple": ["()", "(1,)", "(1, 2)", "(2, 1)", "(3, 4, 5)", "('a', 'b')", "(0, 0)", "(10, -5)", "(0.5, 1.5)", "(255, 128, 0)"],
    "set": ["set()", "{1}", "{1, 2, 3}", "{'a', 'b'}"],
    "call": ["len", "str.upper", "abs", "bool", "lambda x: x", "lambda x: x % 2 == 0", "lambda x, y: x + y", "max"],
}
NAMES = {
    "int": "n i j k m x y z a b c num number count size width height depth index idx start stop end step length limit offset pos position low high lo hi year month day hour minute minutes seconds total max_length maxlen bits base code level port timeout page".split(),
    "float": "x y value t f amount rate ratio price seconds weight alpha scale tolerance temperature".split(),
    "str": "s text string line word name path key value prefix suffix sep separator delimiter char c ch title label msg message url uri filename pattern source code tag attr data content version date spec fmt format encoding token expr lang mode header host email lhs rhs".split(),
    "strs": "words lines names parts args argv tokens items keys strings fields columns headers paths".split(),
    "ints": "items values seq sequence lst list array arr data numbers nums iterable it elements xs ys l a sizes counts coords".split(),
    "floats": "values data numbers samples points weights xs ys".split(),
    "rows": "matrix grid rows table lists nested m board".split(),
    "pairs": "pairs items edges ranges intervals points kv".split(),
    "counts": "d mapping dict counts data obj scores".split(),
    "words": "d mapping params attrs headers options env config settings kwargs meta".split(),
    "nested": "d obj data config tree state options document doc record".split(),
    "bool": "flag reverse strict verbose force ignore_case inclusive ascending sort case_sensitive".split(),
    "bytes": "data buf buffer b raw payload".split(),
    "call": "func fn f key callback predicate pred function test".split(),
    "tuple": "point color rgb size shape version pair bounds p q p1 p2 a b".split(),
    "set": "seen allowed excluded".split(),
}
ANNOTATIONS = [("bool", "bool"), ("int", "int"), ("float", "float"), ("bytes", "bytes"), ("Callable", "call"), ("List[str]", "strs"), ("list[str]", "strs"),
               ("Iterable[str]", "strs"), ("Sequence[str]", "strs"), ("List[float]", "floats"), ("List[List", "rows"), ("list[list", "rows"), ("Tuple", "tuple"), ("tuple", "tuple"), ("Dict[str, str", "words"),
               ("dict[str, str", "words"), ("Dict", "counts"), ("dict", "counts"), ("Mapping", "counts"), ("Set", "set"), ("set", "set"), ("List", "ints"),
               ("list", "ints"), ("Sequence", "ints"), ("Iterable", "ints"), ("str", "str"), ("None", "none"), ("Optional", "none")]
RAISED = {"ValueError", "KeyError", "IndexError", "ZeroDivisionError", "OverflowError", "LookupError", "StopIteration", "AssertionError"}
REFUSED = ("open", "socket.", "subprocess.", "os.", "shutil.", "ctypes.", "tempfile.", "glob.", "urllib.", "ftplib.", "http.", "pty.", "signal.", "webbrowser.")


class Slow(BaseException):
    """A call that took too long."""


def refuse(event, _arguments):
    if event.startswith(REFUSED):
        raise PermissionError(event)


def likely(argument, default):
    """Types that the parameter seems to take, the likeliest first."""
    found = []
    if argument.annotation is not None:
        written = ast.unparse(argument.annotation)
        found += [kind for word, kind in ANNOTATIONS if word in written]
    if isinstance(default, ast.Constant):
        found += {"int": ["int"], "str": ["str"], "bool": ["bool"], "float": ["float"], "NoneType": ["none"], "bytes": ["bytes"]}.get(type(default.value).__name__, [])
    name = argument.arg.lower()
    words = {name, name.rstrip("0123456789"), name.split("_")[-1], name.split("_")[0]}
    found += [kind for kind, names in NAMES.items() if words & set(names)]
    return list(dict.fromkeys(found))


def parameters(definition):
    """`(name or None for positional, required, likely types)` of each parameter; `None` where a call cannot be written."""
    spec = definition.args
    positional = spec.posonlyargs + spec.args
    defaults = [None] * (len(positional) - len(spec.defaults)) + spec.defaults
    listed = [(None, d is None, likely(a, d)) for a, d in zip(positional, defaults)]
    listed += [(a.arg, d is None, likely(a, d)) for a, d in zip(spec.kwonlyargs, spec.kw_defaults)]
    if spec.vararg:
        listed.append((None, False, likely(spec.vararg, None)))
    return listed if len(listed) <= 6 else None


def pools_for(definition):
    """The general values, and those near the constants that the function itself names: its boundaries."""
    pools = {kind: list(values) for kind, values in POOLS.items()}
    for node in ast.walk(definition):
        if not isinstance(node, ast.Constant):
            continue
        value = node.value
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, int) and abs(value) < 10**9:
            pools["int"] += [repr(value - 1), repr(value), repr(value + 1)]
        elif isinstance(value, float):
            pools["float"] += [repr(value), repr(value / 2), repr(value * 2)]
        elif isinstance(value, str) and 0 < len(value) <= 20:
            pools["str"] += [repr(value), repr(value + "x"), repr("x" + value), repr("ab" + value + "cd"), repr(value * 2)]
        elif isinstance(value, bytes) and 0 < len(value) <= 12:
            pools["bytes"] += [repr(value), repr(b"x" + value), repr(value + b"yz")]
    return pools


def literal(value):
    """The value as source text, or `None` where it has none that a reader could follow."""
    text = repr(value)
    if len(text) > LONGEST:
        return None
    try:
        again = set() if text == "set()" else ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return text if type(again) is type(value) and again == value and repr(again) == text else None


class Trace:
    """Which steps from line to line a call takes inside the module."""

    def __init__(self):
        self.steps = set()

    def __enter__(self):
        self.steps = set()
        sys.settrace(self.enter)
        return self

    def __exit__(self, *_):
        sys.settrace(None)

    def enter(self, frame, _event, _argument):
        if frame.f_code.co_filename != "<module>":
            return None
        last = [frame.f_code.co_firstlineno]

        def local(frame, _event, _argument):
            self.steps.add((last[0], frame.f_lineno))
            last[0] = frame.f_lineno
            return local

        return local


def lines_of(code):
    """The lines that hold code, those of inner functions too."""
    found = {line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno}
    return found.union(*(lines_of(inner) for inner in code.co_consts if isinstance(inner, type(code))))


def guarded(run):
    """The result of `run`, or `Slow`."""
    def over(*_):
        raise Slow

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, CALL_SECONDS)
    try:
        return run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def attempt(space, name, texts, explicit):
    """One call: `(steps, row)`, or `None` where it says nothing that a test could hold on to."""
    call = f"{name}({', '.join(texts)})"
    if len(call) > LONGEST + len(name):
        return None
    values = [eval(text.split("=", 1)[1] if "=" in text and text.split("=", 1)[0].isidentifier() else text) for text in texts]
    names = [text.split("=", 1)[0] if "=" in text and text.split("=", 1)[0].isidentifier() else None for text in texts]
    before = [repr(value) for value in values]
    trace = Trace()

    def run():
        with trace:
            result = space[name](*[v for v, n in zip(values, names) if n is None], **{n: v for v, n in zip(values, names) if n is not None})
            if hasattr(result, "__next__"):
                return list(itertools.islice(result, 60)), True
            return result, False

    try:
        result, listed = guarded(run)
    except Slow:
        raise
    except Exception as error:
        kind = type(error).__name__
        return (frozenset(trace.steps), {"call": call, "raises": kind}, "raises") if explicit and kind in RAISED else None
    changed = any(repr(v) != b for v, b in zip(values, before) if not callable(v))
    expected = None if changed else literal(result)
    if expected is None or (listed and len(result) >= 60):
        return None
    return frozenset(trace.steps), {"call": f"list({call})" if listed else call, "expected": expected}, type(result).__name__


def draw(rng, wanted, pools, learned):
    """Arguments as source text, and the types that they were drawn from."""
    count = len(wanted)
    while count and not wanted[count - 1][1] and rng.random() < 0.5:
        count -= 1
    usual = rng.choice(learned) if learned and rng.random() < 0.6 else None
    texts, kinds = [], []
    for at, (name, required, guesses) in enumerate(wanted[:count]):
        if name is not None and not required and rng.random() < 0.4:
            continue
        if usual is not None and at < len(usual):
            kind = usual[at]
        elif guesses and rng.random() < 0.9:
            kind = rng.choice(guesses)
        else:
            kind = rng.choice(list(pools))
        text = rng.choice(pools[kind])
        texts.append(text if name is None else f"{name}={text}")
        kinds.append(kind)
    return texts, tuple(kinds)


def explore(task):
    """The rows of one function. Runs what the module says: in a child only."""
    module = ast.parse(task["module"])
    definition = next(n for n in module.body if isinstance(n, ast.FunctionDef) and n.name == task["name"])
    wanted = parameters(definition)
    if not wanted:
        return []
    explicit = any(isinstance(node, (ast.Raise, ast.Assert)) for node in ast.walk(definition))
    space = {"__name__": "module"}
    printed = io.StringIO()
    sys.stdout = sys.stderr = printed
    exec(compile(module, "<module>", "exec"), space)
    sys.addaudithook(refuse)
    sys.setrecursionlimit(400)
    rng = random.Random(task["seed"])
    pools, learned, rows, slow = pools_for(definition), [], {}, 0
    deadline = time.monotonic() + SECONDS * 0.6
    for turn in range(TRIES):
        if time.monotonic() > deadline or slow > 4 or (turn == 250 and not rows):
            break
        texts, kinds = draw(rng, wanted, pools, learned)
        try:
            found = attempt(space, task["name"], texts, explicit)
        except Slow:
            slow += 1
            continue
        except (RecursionError, MemoryError, SyntaxError):
            continue
        if found is not None and found[1]["call"] not in rows:
            rows[found[1]["call"]] = found
            if found[2] not in ("raises", "NoneType"):
                learned.append(kinds)
    lines = lines_of(space[task["name"]].__code__)
    reached = {line for steps, _, _ in rows.values() for _, line in steps}
    if printed.getvalue() or len(lines & reached) < COVERED * len(lines):
        return []
    return arrange(rng, list(rows.values()))


def arrange(rng, found):
    """Rows in the order in which they are worth having: new steps first, then results not seen yet, then the rest."""
    raising = [f for f in found if f[2] == "raises"]
    results = {f[1].get("expected") for f in found if f[2] != "raises"}
    if len(results) < (2 if results <= {"True", "False"} else 4):
        return []
    # A test of one type's results, with a few of another, is what a person writes; errors stay the minority.
    common = max({f[2] for f in found if f[2] != "raises"}, key=lambda kind: sum(f[2] == kind for f in found))
    usual = [f for f in found if f[2] == common]
    others = [f for f in found if f[2] not in ("raises", common)]
    rng.shuffle(usual), rng.shuffle(others), rng.shuffle(raising)
    pool = usual + others[: len(usual) // 3] + raising[: len(usual) // 4]
    seen_steps, seen_results, first, second, rest = set(), set(), [], [], []
    for steps, row, _ in pool:
        result = row.get("expected", row.get("raises"))
        (first if steps - seen_steps else second if result not in seen_results else rest).append(row)
        seen_steps |= steps
        seen_results.add(result)
    return (first + second + rest)[:WANTED]


def in_child(task):
    """The rows of one function, found in a child that may not outlive its limits."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
            answer = json.dumps(explore(task)).encode()
            while answer:
                answer = answer[os.write(writer, answer):]
        except BaseException:
            pass
        finally:
            os._exit(0)
    os.close(writer)
    answer, deadline = b"", time.monotonic() + SECONDS + 2
    while (left := deadline - time.monotonic()) > 0:
        if select.select([reader], [], [], left)[0]:
            more = os.read(reader, 65536)
            if not more:
                break
            answer += more
    os.close(reader)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        return json.loads(answer)
    except ValueError:
        return []


def main():
    for line in sys.stdin:
        task = json.loads(line)
        print(json.dumps({"id": task["id"], "rows": in_child(task)}), flush=True)


if __name__ == "__main__":
    main()
