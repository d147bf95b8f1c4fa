"""testr's streaming worker for pytest: a plugin for the pytest that the user's command starts.

PYTEST_DONT_REWRITE: there is nothing to assert here.

It is brought along with testr_worker.py, which has the channel, and loaded in one of two ways:

    python testr_pytest.py [--testr-list] [ARGUMENTS]     for "python -m pytest"
    pytest -p testr_pytest [--testr-list] [ARGUMENTS]     for a pytest command, by PYTHONPATH

so interpreter, environment, configuration and arguments are the user's. pytest collects once. With
--testr-list a packet is written for each test. Otherwise tests run as they are asked for. Ids are
node ids.

Of pytest only the loop over the tests is replaced: each test runs in pytest's own protocol, with
all plugins. A fixture is torn down when a test is asked for that doesn't share it. pytest wants to
know the next test before it tears down after one: where that has been asked for it is told,
otherwise it is told of a test that shares all but the fixtures of the test itself.

What would stop the run early (-x), run tests elsewhere (xdist) or choose them by what happened
before (--lf) has no effect: that is for testr. What is printed while pytest doesn't capture it
becomes the file "stdout" of no test. Standard library only, Python 3.6 and later, pytest 6.2 and
later.
"""

import atexit
import contextlib
import functools
import importlib.util
import inspect
import os
import sys
import threading
import warnings

if __name__ == "__main__" and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    sys.path[0] = os.getcwd()  # as -m has it

import pytest
from _pytest.runner import CallInfo
from _pytest.warnings import catch_warnings_for_item

HERE = os.path.dirname(os.path.abspath(__file__))


def _load_channel():
    """Loads testr_worker.py from beside this file, wherever modules are looked for."""
    path = os.path.join(HERE, "testr_worker.py")
    spec = importlib.util.spec_from_file_location("testr_worker", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


testr = _load_channel()

# What describes a subtest in its report: in pytest from 9 on, and in its plugin for earlier ones.
DESCRIPTIONS = "_sub_test_description", "sub_test_description"

# Options of pytest and of plugins, and what they are here.
OVERRIDDEN = {
    "maxfail": 0,
    "lf": False,
    "failedfirst": False,
    "newfirst": False,
    "stepwise": False,
    "xmlpath": None,  # each worker would write the file
    "numprocesses": None,
    "dist": "no",
    "distload": False,
    "looponfail": False,
    "tx": [],
}

# Plugins of pytest that write down what happened, for a later run: here each would do a part.
UNWANTED = "lfplugin", "nfplugin"

SKIPPED = "Skipped: "
XFAILED = "reason: "
CAPTURED = "Captured "

# The worker's own threads hold nothing that a forked child needs.
FORK_WARNING = "ignore:.*multi-threaded, use of fork:DeprecationWarning"


def cut_prefix(text, prefix):
    """Returns a text without its beginning, if that is the prefix."""
    return text[len(prefix) :] if text.startswith(prefix) else text


def octets(text):
    """Returns a text as the content of a file."""
    return str(text).encode("utf-8", "backslashreplace")


def status_of(report):
    """Returns the status that one of pytest's reports gives its test, NONE if it gives none."""
    if report.outcome == "failed":
        return testr.FAIL
    if report.outcome == "skipped":
        return testr.XFAIL if hasattr(report, "wasxfail") else testr.SKIP
    if report.outcome == "passed" and report.when == "call":
        return testr.SUCCESS
    return testr.NONE


class Story:
    """What pytest's reports say about one id, as packets."""

    def __init__(self, writer, output, node_id, parent=None, runnable=False):
        self._output = output
        self._report = testr.Report(writer, testr.to_wire(node_id), parent, runnable)
        self._sections = []

    @property
    def failed(self):
        """Tells whether the outcome is a failure, as far as it is known."""
        return self._report.status == testr.FAIL

    def begin(self):
        """Says that the test begins now. Said again, the test begins again."""
        self._output.drain()
        self._report.begin()

    def add_status(self, status):
        """Counts a status in."""
        self._report.add_status(status)

    def add_text(self, name, text):
        """Attaches a text."""
        self._report.add_file(name, octets(text), testr.TEXT_TYPE)

    def add_traceback(self, text):
        """Attaches a traceback."""
        self._report.add_file("traceback", octets(text), testr.TRACEBACK_TYPE)

    def add(self, report):
        """Takes in all that a report says."""
        if hasattr(report, "wasxfail"):
            reason = cut_prefix(str(report.wasxfail), XFAILED)
            name = "unexpected success" if report.outcome == "passed" else "reason"
            if reason or name != "reason":
                self.add_text(name, reason)
        if isinstance(report.longrepr, tuple):
            self.add_text("reason", cut_prefix(str(report.longrepr[2]), SKIPPED))
        elif report.longrepr:
            self.add_traceback(report.longreprtext)
        for section in report.sections:
            self.add_section(*section)
        self.add_status(status_of(report))

    def add_section(self, title, text):
        """Attaches what was captured. Reports repeat what those before them had."""
        if not text or (title, text) in self._sections:
            return
        self._sections.append((title, text))
        name = cut_prefix(title, CAPTURED)
        self.add_text(name[: -len(" call")] if name.endswith(" call") else name, text)

    def end(self):
        """Writes the outcome."""
        if self._report.status == testr.NONE:
            self.add_text("no-outcome", "The test ended, and pytest reported no outcome.\n")
            self.add_status(testr.FAIL)
        self._output.drain()
        self._report.end()

    def refuse(self, name, text):
        """Writes that there is no such test to run, with a file that says why."""
        self.add_text(name, text)
        self.add_status(testr.FAIL)
        self.end()


class Successor:
    """Stands for the test after another while it isn't known which that is.

    It is a neighbour, unless the right one turns up before it is asked for its place.
    """

    def __init__(self, item, look_ahead):
        self._item = item
        self._look_ahead = look_ahead

    def listchain(self):
        """Returns the nodes from the session to this one, as those of pytest do."""
        known, item = self._look_ahead(self._item)
        if not known:
            return self._item.listchain()[:-1] + [self]
        return item.listchain() if item is not None else []

    def __getattr__(self, name):
        return getattr(self._item, name)


class Parent:
    """Stands for a test of which only the nodes above it matter."""

    def __init__(self, chain):
        self._chain = chain

    def listchain(self):
        """Returns the nodes from the session to this one."""
        return self._chain + [self]


class Captured:
    """Gets what pytest captures where no test is."""

    def __init__(self):
        self.sections = []

    def add_report_section(self, when, key, content):
        """Takes a text, as items do."""
        if content:
            self.sections.append(("%s%s %s" % (CAPTURED, key, when), content))


class Fixtures:
    """Tears down what a test leaves set up, once it is known that the next one doesn't need it.

    A failure then is reported under an id of its own: the test already has its outcome.
    """

    def __init__(self, session, open_story):
        self._config = session.config
        self._state = session._setupstate
        self._open_story = open_story
        self._last = None
        # pytest before 7 wants to know the last test, too.
        self._wants_last = len(inspect.signature(self._state.teardown_exact).parameters) > 1

    def leave(self, item, everything=False):
        """Tears down what this test doesn't share, or everything; None shares nothing."""
        needed = item.listchain() if item is not None and not everything else []
        stack = list(self._state.stack)
        while stack and (len(stack) >= len(needed) or stack != needed[: len(stack)]):
            self._tear_down(stack.pop(), stack)
        self._last = item

    def _tear_down(self, node, rest):
        captured = Captured()
        with self._surroundings(captured):
            step = functools.partial(self._step, rest)
            call = CallInfo.from_call(step, when="teardown", reraise=(KeyboardInterrupt,))
        if call.excinfo is None or call.excinfo.errisinstance(pytest.skip.Exception):
            return
        story = self._open_story("teardown of " + (node.nodeid or "the session"))
        story.add_traceback(self._last._repr_failure_py(call.excinfo, style="long"))
        for section in captured.sections:
            story.add_section(*section)
        story.add_status(testr.FAIL)
        story.end()

    def _step(self, rest):
        arguments = [self._last] if self._wants_last else []
        # What is left of the stack decides, or nothing: then pytest makes sure that it is empty.
        self._state.teardown_exact(*arguments, Parent(rest) if rest else None)

    @contextlib.contextmanager
    def _surroundings(self, captured):
        """Captures text and applies the user's filters for warnings, as for a test."""
        plugins, hook = self._config.pluginmanager, self._config.hook
        capture = plugins.get_plugin("capturemanager")
        with contextlib.ExitStack() as stack:
            if plugins.has_plugin("warnings"):
                caught = catch_warnings_for_item(
                    config=self._config, ihook=hook, when="runtest", item=self._last
                )
                stack.enter_context(caught)
            if capture is not None:
                stack.enter_context(capture.item_capture("teardown", captured))
            yield


class Collection:
    """The tests that pytest collected, and what it could not collect."""

    def __init__(self, open_story):
        self._open_story = open_story
        self._items = {}
        self._failures = {}  # by node id
        self._reported = set()

    def add_report(self, report):
        """Keeps the report about what failed or was skipped as a whole."""
        if not report.passed:
            self._failures.setdefault(report.nodeid or "the session", report)

    def add_items(self, items):
        """Makes tests known. Of two with the same id the first is run."""
        for item in items:
            self._items.setdefault(testr.to_wire(item.nodeid), item)

    def get(self, test_id):
        """Returns a test, or None."""
        return self._items.get(test_id)

    def list(self, writer, items):
        """Writes a packet for each test, and reports what could not be collected.

        What is skipped as a whole is a test: asking for it tells why.
        """
        ids = []
        for node_id, report in self._failures.items():
            if report.skipped:
                ids.append(node_id)
            else:
                self.report_failure(node_id)
        ids.extend(item.nodeid for item in items)
        for node_id in ids:
            writer.write(status=testr.EXISTS, test_id=testr.to_wire(node_id), runnable=True)

    def report_failure(self, node_id):
        """Reports something that could not be collected, unless it was reported before."""
        if node_id not in self._reported:
            self._reported.add(node_id)
            story = self._open_story(node_id)
            story.add(self._failures[node_id])
            story.end()

    def failure_above(self, test_id):
        """Returns id and report of what could not be collected and is, or would have, this test."""
        for node_id, report in self._failures.items():
            if test_id == node_id or test_id.startswith((node_id + "::", node_id + "/")):
                return node_id, report
        return None


class Worker:
    """The plugin, as an object. It is registered before anything of the user's is imported."""

    def __init__(self):
        channel = testr.duplicate(0)
        self._writer = testr.PacketWriter(testr.duplicate(1))
        testr.show_stacks_at_sigterm()
        self._output = testr.Output(self._writer)
        self._channel = testr.Channel(channel, self._writer)
        self._collection = Collection(self._open)
        self._listing = self._served = False
        self._story = None  # of the test that runs
        self._prepared = False  # something was set up for more than that test
        self._warnings = []  # about no test
        self._ran = set()  # ids
        # pytest ends in many ways before it comes to the tests.
        atexit.register(self._output.drain)

    def _open(self, node_id, **keywords):
        return Story(self._writer, self._output, node_id, **keywords)

    # What pytest calls, in this order.

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config):
        self._listing = config.option.testr_list
        for name, value in OVERRIDDEN.items():
            if hasattr(config.option, name):
                setattr(config.option, name, value)
        outcome = yield
        status = outcome.get_result() or 0
        if not self._served:
            status = status or 1
        elif status in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
            status = 0
        status = int(status) or int(self._writer.broken)
        outcome.force_result(status)
        # The interpreter calls threading's function next, to wait for threads.
        threading._shutdown = functools.partial(testr.finish, self._writer, self._output, status)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session):
        config = session.config
        for name in UNWANTED:
            plugin = config.pluginmanager.get_plugin(name)
            if plugin is not None:
                config.pluginmanager.unregister(plugin)
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter._tw._file = open(os.devnull, "w", encoding="utf-8", errors="replace")
        config.addinivalue_line("filterwarnings", FORK_WARNING)

    def pytest_collectreport(self, report):
        self._collection.add_report(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        if self._listing:
            # To say it once is enough: each worker collects the same tests.
            sys.stderr.writelines(self._warnings)
            self._collection.list(self._writer, session.items)
        else:
            self._collection.add_items(session.items)
            self._serve(session)
        self._output.drain()
        self._served = True
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef):
        if fixturedef.scope != "function":
            self._prepared = True

    def pytest_runtest_logreport(self, report):
        story = self._story
        if story is None:
            return
        for name in DESCRIPTIONS:
            if hasattr(report, name):
                self._add_part(story, report, getattr(report, name)())
                return
        story.add(report)
        if report.when == "setup" and report.passed and self._prepared:
            story.begin()

    def pytest_warning_recorded(self, warning_message, when):
        message = warning_message
        text = warnings.formatwarning(
            message.message, message.category, message.filename, message.lineno, message.line
        )
        if self._story is not None:
            self._story.add_text("warning", text)
        else:
            self._warnings.append(text)

    def pytest_keyboard_interrupt(self, excinfo):
        sys.stderr.write("%s\n" % (excinfo.getrepr(style="short"),))

    @pytest.hookimpl(trylast=True)
    def pytest_internalerror(self, excrepr):
        sys.stderr.write("%s\n" % (excrepr,))

    # How it is done.

    def _serve(self, session):
        fixtures = Fixtures(session, self._open)
        while not self._writer.broken:
            test_id = self._channel.next()
            if test_id is None:
                break
            item = self._collection.get(test_id)
            if item is None:
                self._answer(test_id)
                continue
            # A fixture that hangs or fails while it is torn down is not the next test's fault. A
            # test that is to be tried again doesn't get what may have failed it.
            fixtures.leave(item, everything=test_id in self._ran)
            self._ran.add(test_id)
            self._run(item)
            self._output.repair()
        fixtures.leave(None)

    def _answer(self, test_id):
        """Answers for a test that is not here."""
        name = test_id.decode("utf-8", "replace")
        failed, report = self._collection.failure_above(name) or (None, None)
        story = self._open(name, runnable=report is not None and report.skipped)
        story.begin()
        if report is None:
            story.refuse("unknown-test", "There is no test of this id here.\n")
        elif report.skipped or failed == name:
            story.add(report)
            story.end()
        else:
            self._collection.report_failure(failed)
            story.refuse("setup-failure", failed)

    def _run(self, item):
        self._prepared = False
        del item._report_sections[:]  # of another attempt
        self._story = story = self._open(item.nodeid, runnable=True)
        story.begin()
        known, following = self._look_ahead(item)
        if not known:
            following = Successor(item, self._look_ahead)
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        except pytest.exit.Exception as error:
            # It ends a run of pytest. testr's goes on; this test is what keeps it from passing.
            story.add_traceback("pytest.exit: %s\n" % error)
            story.add_status(testr.FAIL)
        finally:
            self._story = None
            self._leave_child(story)
        story.end()

    def _look_ahead(self, item):
        """Returns whether the test after this one is known, and it: None after the last."""
        test_id = self._channel.peek(default=b"")
        if test_id is None:
            return True, None
        following = self._collection.get(test_id)
        return following is not None and following is not item, following

    def _add_part(self, whole, report, description):
        """Takes in the report about a subtest: one that passes is no news but for its output."""
        if report.passed:
            for section in report.sections:
                whole.add_section(*section)
            return
        test_id = "%s %s" % (report.nodeid, description)
        part = self._open(test_id, parent=testr.to_wire(report.nodeid))
        part.add(report)
        part.end()
        whole.add_status(status_of(report))

    def _leave_child(self, story):
        """Ends a forked child that comes back out of a test: only the parent goes on from there."""
        if self._writer.in_child():
            testr.flush(sys.stdout)
            testr.flush(sys.stderr)
            testr._exit(int(story.failed))


def pytest_addoption(parser, pluginmanager):
    """Begins the worker. pytest calls this as soon as it knows the plugin, before other hooks."""
    group = parser.getgroup("testr")
    group.addoption("--testr-list", action="store_true", help="List the tests, for testr")
    if __name__ != "__main__":
        leave_path()
    pluginmanager.register(Worker(), "testr")


def leave_path():
    """Takes the place that this plugin was loaded from out of sight of the tests."""
    if HERE in sys.path:
        sys.path.remove(HERE)
    first, _, rest = os.environ.get("PYTHONPATH", "").partition(os.pathsep)
    if first != HERE:
        return
    if rest:
        os.environ["PYTHONPATH"] = rest
    else:
        del os.environ["PYTHONPATH"]


def main():
    """Does what "python -m pytest" does, with this file as a plugin."""
    sys.argv[0] = os.path.join(os.path.dirname(pytest.__file__), "__main__.py")
    sys.exit(pytest.main(plugins=[sys.modules[__name__]]))


if __name__ == "__main__":
    main()
