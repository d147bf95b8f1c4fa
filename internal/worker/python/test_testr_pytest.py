"""Tests of the streaming worker for pytest. They compare it with pytest alone."""

import collections
import os
import re
import signal
import subprocess
import sys
import tempfile

import test_testr_worker

WORKER = os.path.join(test_testr_worker.HERE, "testr_pytest.py")
SUITES = os.path.join(test_testr_worker.HERE, "testdata", "pytest")

# A line that pytest -v writes about a test.
LINE = re.compile(r"(.*) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)(?: \(.*\))? +\[ *[0-9]+%\]$")
# From the best to the worst. An unexpected success that isn't strict passes pytest's run.
STATUSES = {
    "SKIPPED": "skip",
    "XFAIL": "xfail",
    "PASSED": "success",
    "XPASS": "success",
    "FAILED": "fail",
    "ERROR": "fail",
}
RANKS = ["skip", "xfail", "success", "fail"]


def is_outcome(packet):
    return packet.status in RANKS and packet.runnable


class Process(test_testr_worker.Process):
    """A worker under test, in the place of python -m pytest."""

    def __init__(self, *arguments, suite="good", options=(), env=None):
        command = [sys.executable] + list(options) + [WORKER] + list(arguments)
        env = dict(env or {})
        if not os.path.isabs(suite):
            env["PYTEST_ADDOPTS"] = "-p no:cacheprovider"  # it would write beside the tests
        self.launch(command, os.path.join(SUITES, suite), env)

    def wait_until_still(self):
        """Waits until no thread has had anything to do for many looks at them."""
        tasks, still = "/proc/%d/task" % self._process.pid, 0
        while still < 100:
            still += 1
            for task in os.listdir(tasks):
                with open(os.path.join(tasks, task, "stat")) as stat:
                    if stat.read().rpartition(")")[2].split()[0] != "S":
                        still = 0

    def settle(self, test_id):
        """Asks for one test and waits for its outcome."""
        self.ask(test_id)
        return self.wait_for(lambda p: p.status in RANKS and p.test_id == test_id)


class PytestCase(test_testr_worker.WorkerTestCase):
    def start(self, *arguments, **keywords):
        return Process(*arguments, **keywords)

    def directory(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return directory.name

    def list(self, *arguments, **keywords):
        process = Process("--testr-list", *arguments, **keywords).finish()
        self.assertEqual(process.exit_status, 0, process.stderr)
        return process

    def listed(self, *arguments, **keywords):
        process = self.list(*arguments, **keywords)
        return [p.test_id for p in process.packets if p.status == "exists" and p.runnable]

    def trace(self):
        """Returns an environment that has the fixtures of "good" write down what they do."""
        return {"TRACE": os.path.join(self.directory(), "trace")}

    def read(self, env):
        with open(env["TRACE"]) as trace:
            return trace.read()

    def plain(self, *arguments, env=None):
        """Runs the suite with pytest alone; returns the statuses by id, in order."""
        options = ["-v", "--maxfail=1000", "-o", "console_output_style=progress", "--color=no"]
        options.append("--junitxml=" + os.devnull)  # in the place of that of pytest.ini
        output = subprocess.run(
            [sys.executable, "-B", "-m", "pytest"] + options + list(arguments),
            cwd=os.path.join(SUITES, "good"),
            env=dict(os.environ, COLUMNS="1000", **(env or {})),
            stdout=subprocess.PIPE,
            check=False,
        ).stdout.decode("utf-8")
        statuses = collections.OrderedDict()
        for line in output.splitlines():
            found = LINE.match(line)
            if found:
                status, before = STATUSES[found.group(2)], statuses.get(found.group(1))
                if before is None or RANKS.index(status) > RANKS.index(before):
                    statuses[found.group(1)] = status
        self.assertGreater(len(statuses), 30, output)
        return statuses


class Agreement(PytestCase):
    """The worker does what pytest does on its own."""

    def test_listing(self):
        self.assertEqual(self.listed(), list(self.plain()))

    def test_outcomes(self):
        env, own = self.trace(), self.trace()
        expected = self.plain(env=env)
        process = self.run_tests(*expected, env=own)
        self.assertEqual(collections.OrderedDict(process.outcomes()), expected)
        self.assertEqual(len(process.outcomes()), len(expected))
        self.assertEqual(self.read(own), self.read(env))
        # The suite's pytest.ini asks for a report of the whole session, of which a worker has a part.
        self.assertFalse(os.path.exists(os.path.join(SUITES, "good", "never.xml")))

    def test_one_by_one(self):
        """Without looking ahead fixtures are set up and torn down as often, and in that order."""
        env, own = self.trace(), self.trace()
        expected = self.plain(env=env)
        process = Process(env=own)
        for test_id in expected:
            process.settle(test_id)
        process.finish()
        self.assertEqual(process.exit_status, 0, process.stderr)
        self.assertEqual(self.read(own), self.read(env))
        outcomes = [(p.test_id, p.status) for p in process.packets if is_outcome(p)]
        found = collections.OrderedDict(outcomes)
        # Those whose outcome is out before the fixtures fail that others share.
        late = {"test_tear_down.py::TestBusy::test_2", "test_tear_down.py::test_last"}
        for test_id in late:
            self.assertEqual((found[test_id], expected[test_id]), ("success", "fail"))
            expected[test_id] = "success"
        self.assertEqual(found, expected)
        beside = [p.test_id for p in process.packets if p.status == "fail" and not p.runnable]
        name = "teardown of test_tear_down.py"
        self.assertEqual(beside, [name + "::TestBusy", name])

    def test_in_another_order(self):
        """Each test passes or fails wherever it comes."""
        expected = self.plain()
        mixed = list(expected)[::-1] + list(expected)[::3]
        process = Process()
        for test_id in mixed:
            process.settle(test_id)
        found = [(p.test_id, p.status) for p in process.finish().packets if is_outcome(p)]
        for test_id in "test_tear_down.py::TestBusy::test_2", "test_tear_down.py::test_last":
            expected[test_id] = "success"
        self.assertEqual(found, [(test_id, expected[test_id]) for test_id in mixed])

    def test_options(self):
        for arguments in (
            ["-k", "number or second"],
            ["-m", "slow"],
            ["test_fixtures.py::TestGroup", "package"],
            ["-p", "no:doctest", "-o", "addopts="],
            ["--deselect", "test_fixtures.py::test_module", "--ignore=package", "-q"],
            ["--rootdir=..", "-c", "pytest.ini"],
        ):
            process = subprocess.run(
                [sys.executable, "-B", "-m", "pytest", "--collect-only", "-q", "--junitxml=" + os.devnull] + arguments,
                cwd=os.path.join(SUITES, "good"),
                stdout=subprocess.PIPE,
                check=False,
            )
            lines = process.stdout.decode("utf-8").splitlines()
            expected = [line for line in lines if "::" in line]
            if "-q" not in arguments:
                self.assertGreater(len(expected), 0, arguments)
                self.assertEqual(self.listed(*arguments), expected, arguments)
            else:
                self.assertNotIn("test_fixtures.py::test_module", self.listed(*arguments))


class Again(PytestCase):
    """A test that is asked for again, which is how it is retried."""

    def test_output(self):
        """It has what it printed this time."""
        process = Process()
        for _ in range(2):
            process.settle("test_outcomes.py::test_fails")
        names = [p.name for p in process.finish().packets if p.name and p.test_id]
        self.assertEqual(names, ["traceback", "stdout", "stderr", "log"] * 2)

    def test_fixtures(self):
        """What it shares with others is set up anew: that may be what was wrong."""
        env = self.trace()
        process = Process(env=env)
        for name in "test_module", "test_number[one]", "test_module":
            process.settle("test_fixtures.py::" + name)
        self.assertEqual([s for _, s in process.finish().outcomes()], ["success"] * 3)
        lines = self.read(env).splitlines()
        self.assertEqual([lines.count(line) for line in ("session up", "session down")], [2, 2])

    def test_at_once(self):
        """It is no neighbour of itself: each time its own fixtures are its own."""
        test_id = "test_outcomes.py::test_teardown"
        process = self.run_tests(test_id, test_id)
        self.assertEqual(process.outcomes(), [(test_id, "fail")] * 2)

    def test_failing_tear_down(self):
        process = Process()
        for _ in range(2):
            process.settle("test_tear_down.py::test_last")
        process.finish()
        name = "test_tear_down.py"
        one = [(name + "::test_last", "success"), ("teardown of " + name, "fail")]
        self.assertEqual((process.outcomes(), process.exit_status), (one * 2, 0))


class Outcomes(PytestCase):
    """What is told of tests, beyond what becomes of them."""

    def outcome(self, name, status, *arguments):
        test_id = "test_outcomes.py::" + name
        process = self.assert_outcome(test_id, status, arguments=arguments)
        return lambda name: process.file(test_id, name) or ""

    def test_files(self):
        for name, status, files in [
            ("test_passes", "success", {"stdout": "all is well\n"}),
            ("test_fails", "fail", {"stdout": "out\n", "stderr": "err\n", "log": "logged"}),
            ("test_fails", "fail", {"traceback": "test_outcomes.py:17: AssertionError"}),
            ("test_skip_mark", "skip", {"reason": "for a reason", "traceback": ""}),
            ("test_skip", "skip", {"reason": "at run time"}),
            ("test_fixture_skips", "skip", {"reason": "in a fixture"}),
            ("test_xfail", "xfail", {"reason": "known", "traceback": "assert False"}),
            ("test_xfail_call", "xfail", {"reason": "at run time"}),
            ("test_xpass", "success", {"unexpected success": "outdated"}),
            ("test_xpass_strict", "fail", {"traceback": "[XPASS(strict)] outdated"}),
            ("test_setup", "fail", {"traceback": "ValueError: no set-up"}),
            ("test_teardown", "fail", {"traceback": "no tear-down"}),
            ("test_teardown", "fail", {"stdout teardown": "about to fail\n"}),
            ("test_both", "fail", {"traceback": "assert False", "traceback-1": "no tear-down"}),
            ("test_xfail_teardown", "xfail", {"traceback-1": "no tear-down"}),
            ("test_unknown_fixture", "fail", {"traceback": "fixture 'nobody_has_it' not found"}),
            ("test_warns", "success", {"warning": "UserWarning: beware"}),
        ]:
            with self.subTest(name):
                file = self.outcome(name, status)
                for key, text in files.items():
                    self.assertIn(text, file(key), key)
                    self.assertEqual(bool(text), bool(file(key)), key)

    def test_times(self):
        """A test that has to set up what others share begins again when that is done."""
        first, second = "test_fixtures.py::test_module", "test_fixtures.py::test_number[one]"
        process = self.run_tests(first, second)
        begun = [p.test_id for p in process.packets if p.status == "inprogress"]
        self.assertEqual(begun, [first] * 2 + [second] * 2)
        self.assertTrue(all(p.time for p in process.packets if p.status in RANKS + ["inprogress"]))
        process = self.run_tests("test_outcomes.py::test_teardown")
        self.assertEqual([p.status for p in process.packets if p.status], ["inprogress", "fail"])

    def test_failing_tear_down(self):
        """Beside the test that its fixtures outlive, before the next, with what it printed."""
        process = Process()
        process.settle("test_tear_down.py::test_last")
        process.settle("test_outcomes.py::test_passes")
        process.end()
        process.finish()
        name = "teardown of test_tear_down.py"
        expected = [
            ("test_tear_down.py::test_last", "success"),
            (name, "fail"),
            ("test_outcomes.py::test_passes", "success"),
        ]
        self.assertEqual(process.outcomes(), expected)
        self.assertIn("ValueError: module still busy", process.file(name, "traceback"))
        self.assertEqual(process.file(name, "stdout teardown"), "module about to fail\n")

    def test_failing_tear_down_at_the_end(self):
        process = Process()
        process.settle("test_tear_down.py::TestBusy::test_1")
        process.end()
        process.finish()
        name = "teardown of test_tear_down.py"
        inner = name + "::TestBusy"
        statuses = [("test_tear_down.py::TestBusy::test_1", "success")]
        self.assertEqual(process.outcomes(), statuses + [(inner, "fail"), (name, "fail")])
        self.assertIn("SystemExit: class still busy", process.file(inner, "traceback"))
        self.assertEqual(process.exit_status, 0)

    def test_parts(self):
        test_id = "test_hostile.py::test_after"
        process = self.run_tests(test_id, suite="single", arguments=["-p", "parts"])
        part = test_id + " (part='failed')"
        self.assertEqual(process.outcomes(), [(part, "fail"), (test_id, "fail")])
        self.assertEqual(process.file(part, "traceback"), "what is wrong")
        self.assertIn("passed", process.file(test_id, "stdout"))
        self.assertEqual([p.parent for p in process.packets if p.test_id == part][0], test_id)


class Channel(PytestCase):
    """What is no ordinary request."""

    def test_unknown(self):
        for test_id in "test_outcomes.py::nobody", "test_outcomes.py", "ü\U0001f600":
            process = self.assert_outcome(test_id, "fail")
            self.assertIsNotNone(process.file(test_id, "unknown-test"))
            self.assertFalse(any(p.runnable for p in process.packets))

    def test_deselected(self):
        test_id = "test_outcomes.py::test_passes"
        process = self.assert_outcome(test_id, "fail", arguments=["-k", "second"])
        self.assertIsNotNone(process.file(test_id, "unknown-test"))

    def test_withdrawal(self):
        names = "test_passes", "test_skip", "test_xfail"
        first, second, third = ("test_outcomes.py::" + name for name in names)
        process = Process()
        process.ask(first, second, third)
        process.withdraw(second)
        process.withdraw("nobody")
        process.end()
        process.finish()
        self.assertEqual(process.outcomes(), [(first, "success"), (third, "xfail")])
        self.assertEqual([p.test_id for p in process.packets if p.status == "exists"], [second])

    def test_collection_failure(self):
        """A module that can't be imported fails; the others have their tests."""
        process = self.list(suite="broken")
        self.assertEqual(process.outcomes(), [("test_broken.py", "fail")])
        self.assertIn("a_module_that_nobody_has", process.file("test_broken.py", "traceback"))
        self.assertFalse([p for p in process.packets if p.status == "fail"][0].runnable)
        self.assertEqual(
            [p.test_id for p in process.packets if p.status == "exists"],
            ["test_skips.py", "test_whole.py::test_whole"],
        )
        gone = ["test_broken.py::test_gone", "test_broken.py::test_lost"]
        process = self.assert_kept_from_running("test_broken.py", *gone, suite="broken")
        self.assertIn("a_module_that_nobody_has", process.file("test_broken.py", "traceback"))

    def test_skipped_module(self):
        for test_id in "test_skips.py", "test_skips.py::test_1":
            process = self.assert_outcome(test_id, "skip", suite="broken")
            self.assertEqual(process.file(test_id, "reason"), "no such device")

    def test_stdin(self):
        process = Process("-s", suite="single")
        process.type(b"an answer\n", eof=True)
        process.settle("test_hostile.py::test_input")
        self.assertEqual([s for _, s in process.finish().outcomes()], ["success"])


class Hostile(PytestCase):
    """Tests and plugins that get in the way."""

    def hostile(self, *names, arguments=()):
        test_ids = ["test_hostile.py::test_" + name for name in names]
        process = self.run_tests(*test_ids, suite="single", arguments=arguments)
        self.assertEqual([test_id for test_id, _ in process.outcomes()], test_ids)
        return process, [status for _, status in process.outcomes()]

    def test_printing(self):
        names = ["octets", "close", "after", "close_object", "after", "replace", "after"]
        for arguments in [], ["-s"], ["--capture=sys"], ["--capture=tee-sys"]:
            with self.subTest(arguments):
                process, statuses = self.hostile(*names, arguments=arguments)
                self.assertEqual((statuses[0], statuses[2]), ("success", "success"))
                text = b"".join(p.content for p in process.packets if p.name == "stdout")
                self.assertIn(b")\x00\x00 no packet ", text)
                self.assertIn(b"from a process", text)
                if arguments == ["-s"]:  # what pytest captures it makes text of
                    self.assertIn(b"\xb3)\x00\x00 no packet \xb3", text)

    def test_text_is_not_capture(self):
        process, _ = self.hostile("after", arguments=["-s"])
        self.assertIn("still here\n", process.text())
        process, _ = self.hostile("after", arguments=["-v", "-rA", "--setup-show"])
        self.assertEqual(process.text(), "")

    def test_fork(self):
        _, statuses = self.hostile("fork", "after")
        self.assertEqual(statuses, ["success", "success"])

    def test_warnings_as_errors(self):
        """The user's filters hold for fixtures, too, but not for what the worker brings with it."""
        arguments = ["-o", "filterwarnings=error"]
        _, statuses = self.hostile("fork_warning", arguments=arguments)
        self.assertEqual(statuses, ["success"])
        process = Process(*arguments, suite="single")
        process.settle("test_hostile.py::test_warning_late")
        process.finish()
        self.assertEqual(process.outcomes()[1:], [("teardown of test_hostile.py", "fail")])

    def test_exit(self):
        process, statuses = self.hostile("exit", "after", "exit", "exit")
        self.assertEqual(statuses, ["fail", "success", "fail", "fail"])
        self.assertIn("enough", process.file("test_hostile.py::test_exit", "traceback"))

    def test_interrupt(self):
        process = Process(suite="single")
        process.ask("test_hostile.py::test_interrupt", "test_hostile.py::test_after")
        process.finish()
        self.assertEqual((process.exit_status, process.outcomes()), (2, []))
        self.assertIn("KeyboardInterrupt", process.stderr)

    def test_plugin_that_takes_over(self):
        arguments = ["-p", "takeover", "--numprocesses=2", "--dist=load"]
        _, statuses = self.hostile("after", arguments=arguments)
        self.assertEqual(statuses, ["success"])

    def test_options_that_stop_or_choose(self):
        suite = self.directory()
        with open(os.path.join(suite, "test_it.py"), "w") as module:
            module.write("def test_1(): pass\ndef test_2(): assert 0\ndef test_3(): assert 0\n")
        command = [sys.executable, "-B", "-m", "pytest", "--sw", "--deselect=test_it.py::test_3"]
        subprocess.run(command, cwd=suite, stdout=subprocess.DEVNULL, check=False)
        test_ids = ["test_it.py::test_%d" % number for number in (1, 2, 3)]
        arguments = ["-x", "--maxfail=1", "--lf", "--sw", "--junitxml=units.xml"]
        for several in arguments, ["--sw"], ["--ff"]:
            self.assertEqual(self.listed(*several, suite=suite), test_ids)
        self.assertIn("test_whole.py::test_whole", self.listed("-x", suite="broken"))
        process = self.run_tests(*test_ids, suite=suite, arguments=arguments)
        self.assertEqual([s for _, s in process.outcomes()], ["success", "fail", "fail"])
        self.assertEqual(sorted(os.listdir(suite)), [".pytest_cache", "test_it.py"])
        with open(os.path.join(suite, ".pytest_cache", "v", "cache", "lastfailed")) as failed:
            self.assertNotIn("test_3", failed.read())

    def test_stacks_of_a_hung_test(self):
        """F2: a test that hangs shows where, also while pytest captures."""
        for arguments in [], ["-s"]:
            pipe = os.path.join(self.directory(), "ready")
            os.mkfifo(pipe)
            process = Process(*arguments, suite="single", env={"READY": pipe})
            process.ask("test_hostile.py::test_hangs")
            with open(pipe):
                # Python 3.11 can crash while it shows stacks that are changing.
                process.wait_until_still()
                process.kill(signal.SIGTERM)
            process.finish()
            self.assertEqual(process.exit_status, -signal.SIGTERM)
            self.assertRegex(process.stderr, r'test_hostile.py", line [0-9]+ in test_hangs')

    def test_death(self):
        process = Process(suite="single")
        process.settle("test_hostile.py::test_after")
        process.kill(signal.SIGKILL)
        self.assertEqual(process.finish().exit_status, -signal.SIGKILL)


class Starting(PytestCase):
    """How the worker is loaded, and what keeps it from that."""

    def test_usage_errors(self):
        for arguments, message in [
            (["--no-such-option"], "unrecognized arguments: --no-such-option"),
            (["no_such_file.py"], "no_such_file.py"),
            (["-k", "(("], "Wrong expression"),
        ]:
            for mode in [], ["--testr-list"]:
                process = Process(*mode, *arguments).finish()
                self.assertEqual(process.exit_status, 4)
                self.assertIn(message, process.stderr)

    def test_conftest_fails(self):
        process = Process("--testr-list", suite="conftest_fails").finish()
        self.assertEqual(process.exit_status, 4)
        self.assertIn("a_module_that_nobody_has", process.stderr)

    def test_nothing_is_collected(self):
        """What pytest does in the place of collecting is no success."""
        process = Process("--testr-list", "--help").finish()
        self.assertEqual((process.exit_status, process.outcomes()), (1, []))
        self.assertIn("--testr-list", process.text())

    def test_no_tests(self):
        self.assertEqual(self.listed("-k", "nothing_has_this_name"), [])

    def test_configuration_warning(self):
        """It is said once, by the one that lists."""
        suite = self.directory()
        with open(os.path.join(suite, "pytest.ini"), "w") as configuration:
            configuration.write("[pytest]\nno_such_option = 1\n")
        self.assertIn("no_such_option", self.list(suite=suite).stderr)
        self.assertEqual(self.start(suite=suite).finish().stderr, "")

    def test_isolated(self):
        """Options of the interpreter that hide this directory from it."""
        for option in "-I", "-E":
            listed = self.listed(suite="single", options=[option])
            self.assertIn("test_hostile.py::test_after", listed)

    def test_environment(self):
        """Tests see nothing of how the worker was loaded."""
        test_id = "test_hostile.py::test_environment"
        process = self.run_tests(test_id, suite="single")
        self.assertEqual(process.file(test_id, "stdout"), "None []\n")


if __name__ == "__main__":
    test_testr_worker.unittest.main()
