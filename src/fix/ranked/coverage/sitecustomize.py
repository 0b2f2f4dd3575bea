"""Writes down which lines of a project a Python process runs, and which of them while a test failed.

Python imports this by its name when it starts. The project's directory stands in the file `root` beside it; what was seen goes
into `told/PID` when the process ends: `all` or `failing`, the file and its lines; `failed` if a test was seen to fail; and `end`
once everything stands there. A file without it says that a process ended in a way that could not be seen. Whatever goes wrong in
here is kept from the tests.
"""

import sys

# Frames that say where a test begins and ends, where what tests share is made, and that a test failed: by file and function.
TEST, SHARED, FAILURE = 1, 2, 3
ROLES = {
    "unittest/case.py": {"run": TEST},
    "unittest/result.py": {"_exc_info_to_string": FAILURE},
    "_pytest/runner.py": {"runtestprotocol": TEST},
    "_pytest/fixtures.py": {"pytest_fixture_setup": SHARED},
    "_pytest/nodes.py": {"_repr_failure_py": FAILURE},
}
# Set in the code of functions, not in that of modules and classes: those run once, for every test that comes after.
OPTIMIZED = 1


class Record(object):
    """The lines seen so far: outside of tests, in any test, and in those that failed."""

    def __init__(self, root, told):
        import os

        self.os, self.open, self.exit = os, open, os._exit
        self.root, self.told = root, told
        self.files = {}
        self.common, self.tested, self.failing = set(), set(), set()
        self.now, self.outer = self.common, []
        self.failed = self.any_failed = False
        # Until something watches.
        self.is_whole = lambda: False
        self.begin_process()

    def begin_process(self):
        self.pid = self.os.getpid()
        self.write("")

    def after_fork(self):
        # The parent knows what becomes of its test. Children of `multiprocessing` end without a word, but through this door.
        self.now, self.outer = self.common, []
        self.os._exit = self.leave
        self.begin_process()

    def leave(self, code):
        self.tell()
        self.exit(code)

    def place(self, name):
        """A project's file, the roles of functions where a test runner lives, or None."""
        try:
            return self.files[name]
        except KeyError:
            # The functions called here are watched as well, and must find an answer.
            self.files[name] = None
        found = None
        if not name.startswith("<"):
            path = self.os.path.realpath(name)
            if path.startswith(self.root) and "/site-packages/" not in path and "\n" not in path and "\t" not in path:
                found = path
            else:
                found = ROLES.get("/".join(path.split("/")[-2:]))
        self.files[name] = found
        return found

    def line(self, code, path, line):
        (self.now if code.co_flags & OPTIMIZED else self.common).add((path, line))

    def enter(self, role):
        self.outer.append(self.now)
        if role == SHARED:
            self.now = self.common
        elif self.now is self.common:
            self.now, self.failed = set(), False

    def go_out(self):
        left, self.now = self.now, self.outer.pop() if self.outer else self.common
        if self.now is self.common and left is not self.common:
            self.tested |= left
            if self.failed:
                self.failing |= left

    def failure(self):
        self.failed = self.any_failed = True

    def write(self, text):
        with self.open(self.os.path.join(self.told, str(self.pid)), "ab") as file:
            file.write(self.os.fsencode(text))

    def tell(self):
        try:
            if self.pid != self.os.getpid() or not self.is_whole():
                return
            self.is_whole = lambda: False
            while self.outer:
                self.go_out()
            told = ["failed\n"] if self.any_failed else []
            for word, lines in (("all", self.common | self.tested), ("failing", self.common | self.failing)):
                files = {}
                for path, line in lines:
                    files.setdefault(path, []).append(str(line))
                told.extend("%s\t%s\t%s\n" % (word, path, " ".join(files[path])) for path in files)
            self.write("".join(told) + "end\n")
        except Exception:
            pass


def monitor(record):
    """Watches by events that are switched off where they have been seen: nearly free (Python 3.12)."""
    watch = sys.monitoring
    tool, events = 4, watch.events
    watch.use_tool_id(tool, "covered lines")
    frames = {}

    def start(code, offset):
        place = record.place(code.co_filename)
        if type(place) is str:
            watch.set_local_events(tool, code, events.LINE)
            return watch.DISABLE
        role = place.get(code.co_name) if place else None
        if role is None:
            return watch.DISABLE
        if role == FAILURE:
            record.failure()
            return None
        frames[code] = frames.get(code, 0) + 1
        watch.set_local_events(tool, code, events.PY_RETURN)
        record.enter(role)
        watch.restart_events()

    def stop(code, offset, value):
        if frames.get(code, 0) > 0:
            frames[code] -= 1
            record.go_out()
            watch.restart_events()

    def line(code, number):
        path = record.place(code.co_filename)
        if type(path) is str:
            record.line(code, path, number)
        return watch.DISABLE

    watch.register_callback(tool, events.PY_START, start)
    watch.register_callback(tool, events.PY_RETURN, stop)
    watch.register_callback(tool, events.PY_UNWIND, stop)
    watch.register_callback(tool, events.LINE, line)
    watch.set_events(tool, events.PY_START | events.PY_UNWIND)
    record.is_whole = lambda: watch.get_tool(tool) == "covered lines"


def trace(record):
    """Watches as a debugger does: every line of the project costs a call."""
    import threading

    def inside(frame, event, arg):
        if event == "line":
            code = frame.f_code
            record.line(code, record.files[code.co_filename], frame.f_lineno)
        return inside

    def around(frame, event, arg):
        if event == "return":
            record.go_out()
        return around

    def call(frame, event, arg):
        code = frame.f_code
        place = record.place(code.co_filename)
        if place is None:
            return None
        if type(place) is str:
            return inside
        role = place.get(code.co_name)
        if role == FAILURE:
            record.failure()
        if role in (TEST, SHARED):
            record.enter(role)
            return around
        return None

    threading.settrace(call)
    sys.settrace(call)
    # Whoever traced as well has taken events away.
    record.is_whole = lambda: sys.gettrace() is call


def measure():
    import atexit
    import os

    if not hasattr(os, "register_at_fork"):
        # Before Python 3.7 a forked worker's lines would be missed.
        return
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if entry != here]
    with open(os.path.join(here, "root"), "rb") as file:
        root = os.fsdecode(file.read())
    record = Record(os.path.join(root, ""), os.path.join(here, "told"))
    atexit.register(record.tell)
    os.register_at_fork(after_in_child=lambda: quietly(record.after_fork))
    if hasattr(sys, "monitoring"):
        monitor(record)
    else:
        trace(record)


def quietly(act):
    try:
        act()
    except Exception:
        pass


def hidden():
    """The module of this name that would have been loaded, or None."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    spec = PathFinder.find_spec("sitecustomize", sys.path)
    return spec and spec.loader and module_from_spec(spec)


quietly(measure)
try:
    sitecustomize = hidden()
except Exception:
    sitecustomize = None
if sitecustomize is not None:
    sys.modules["sitecustomize"] = sitecustomize
    sitecustomize.__spec__.loader.exec_module(sitecustomize)
