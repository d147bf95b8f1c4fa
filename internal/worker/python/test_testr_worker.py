"""Tests of the streaming worker that need nothing but the standard library.

They speak the channel's protocol with an encoder and a decoder of their own, so that the worker's
can't be wrong on both sides alike.
"""

import collections
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
WORKER = os.path.join(HERE, "testr_worker.py")
SUITE = os.path.join(HERE, "testdata", "suite")

STATUSES = ["", "exists", "inprogress", "success", "uxsuccess", "skip", "fail", "xfail"]
PSEUDO = "unittest.loader._FailedTest."

Packet = collections.namedtuple(
    "Packet", "status runnable time test_id tags mime name content eof parent"
)


def number(value):
    for size, top, limit in (1, 0, 6), (2, 1, 14), (3, 2, 22), (4, 3, 30):
        if value < 1 << limit:
            return (top << limit | value).to_bytes(size, "big")
    raise ValueError(value)


def text(octets):
    return number(len(octets)) + octets


def encode(flags, body=b""):
    """Encodes a packet whose fields are given as octets."""
    for size in 1, 2, 3:
        length = number(3 + size + len(body) + 4)
        if len(length) == size:
            break
    packet = struct.pack(">BH", 0xB3, 0x2000 | flags) + length + body
    return packet + struct.pack(">I", zlib.crc32(packet))


class Octets:
    """Takes fields off a packet."""

    def __init__(self, octets):
        self.octets = octets

    def take(self, size):
        taken, self.octets = self.octets[:size], self.octets[size:]
        if len(taken) < size:
            raise AssertionError("packet cut short")
        return taken

    def number(self):
        size = (self.octets[0] >> 6) + 1
        return int.from_bytes(self.take(size), "big") & ((1 << (8 * size - 2)) - 1)

    def text(self):
        return self.take(self.number())


def decode(octets):
    """Decodes a packet; anything odd about it is an AssertionError."""
    if zlib.crc32(octets[:-4]) != int.from_bytes(octets[-4:], "big"):
        raise AssertionError("wrong checksum")
    rest = Octets(octets[1:-4])
    flags = int.from_bytes(rest.take(2), "big")
    if flags & 0xF004 & ~7 != 0x2000 or rest.number() != len(octets):
        raise AssertionError("wrong version or length")
    time = test_id = mime = name = content = parent = None
    tags = []
    if flags & 0x0200:
        seconds = int.from_bytes(rest.take(4), "big")
        time = seconds * 10**9 + rest.number()
    if flags & 0x0800:
        test_id = rest.text().decode("utf-8")
    if flags & 0x0080:
        tags = [rest.text().decode("utf-8") for _ in range(rest.number())]
    if flags & 0x0020:
        mime = rest.text().decode("utf-8")
    if flags & 0x0040:
        name, content = rest.text().decode("utf-8"), rest.text()
    if flags & 0x0008:
        parent = rest.text().decode("utf-8")
    if rest.octets:
        raise AssertionError("octets after the last field")
    runnable, eof = bool(flags & 0x0100), bool(flags & 0x0010)
    return Packet(
        STATUSES[flags & 7], runnable, time, test_id, tags, mime, name, content, eof, parent
    )


class Process:
    """A worker under test, and everything that it has said."""

    def __init__(self, arguments, cwd=SUITE, runner="subunit.run", options=(), env=None):
        command = [sys.executable] + list(options) + [WORKER, "--runner", runner] + list(arguments)
        self.launch(command, cwd, env)

    def launch(self, command, cwd, env):
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", **(env or {}))
        self.packets = []
        self._data = b""
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def send(self, packet):
        self._process.stdin.write(packet)
        self._process.stdin.flush()

    def ask(self, *test_ids):
        for test_id in test_ids:
            self.send(encode(0x0901, text(test_id.encode("utf-8"))))

    def withdraw(self, test_id):
        self.send(encode(0x0805, text(test_id.encode("utf-8"))))

    def type(self, content=b"", eof=False):
        self.send(encode(0x0050 if eof else 0x0040, text(b"stdin") + text(content)))

    def end(self):
        self.send(encode(0x0010))

    def wait_for(self, condition):
        """Reads on until a packet fulfils the condition, and returns it."""
        while True:
            packet = self._read()
            if packet is None:
                raise AssertionError("stdout ended; stderr:\n" + self.finish().stderr)
            if condition(packet):
                return packet

    def _read(self):
        while len(self._data) < 6 or len(self._data) < self._length():
            received = os.read(self._process.stdout.fileno(), 65536)
            if not received:
                if self._data:
                    raise AssertionError("stdout ended in a packet: %r" % self._data[:80])
                return None
            self._data += received
        length = self._length()
        packet, self._data = decode(self._data[:length]), self._data[length:]
        self.packets.append(packet)
        return packet

    def _length(self):
        if self._data[0] != 0xB3:
            raise AssertionError("no packet: %r" % self._data[:80])
        return Octets(self._data[3:]).number()

    def kill(self, number):
        self._process.send_signal(number)

    def finish(self):
        """Closes the channel, reads the rest and waits for the process."""
        self._process.stdin.close()
        while self._read() is not None:
            pass
        with self._process.stdout, self._process.stderr:
            self.stderr = self._process.stderr.read().decode("utf-8", "replace")
            self.exit_status = self._process.wait()
        return self

    # What the packets come to.

    def outcomes(self):
        """Returns the outcomes, in order: pairs of test id and status."""
        return [(p.test_id, p.status) for p in self.packets if STATUSES.index(p.status) > 2]

    def file(self, test_id, name):
        """Returns a file's content, or None."""
        pieces = [p for p in self.packets if p.name == name and p.test_id == test_id]
        return b"".join(p.content for p in pieces).decode("utf-8") if pieces else None

    def text(self):
        """Returns what was written to standard output."""
        return self.file(None, "stdout") or ""

    def story(self):
        """Returns printed lines, first beginnings and outcomes in the order in which they came."""
        story, running = "", None
        for packet in self.packets:
            if packet.name == "stdout":
                story += packet.content.decode("utf-8")
            elif packet.status and (packet.status != "inprogress" or running != packet.test_id):
                story += "%s %s\n" % (packet.test_id.split(".", 1)[-1], packet.status)
                running = packet.test_id if packet.status == "inprogress" else None
        return story.splitlines()


class WorkerTestCase(unittest.TestCase):
    """Helpers for tests that start workers."""

    maxDiff = None

    def setUp(self):
        signal.alarm(120)  # nothing here may wait for ever
        self.addCleanup(signal.alarm, 0)

    def start(self, *arguments, **keywords):
        return Process(arguments or ("discover",), **keywords)

    def run_tests(self, *test_ids, **keywords):
        """Asks for tests, all at once, and returns the process at its end."""
        process = self.start(*keywords.pop("arguments", ()), **keywords)
        process.ask(*test_ids)
        process.end()
        process.finish()
        self.assertEqual(process.exit_status, 0, process.stderr)
        return process

    def assert_kept_from_running(self, pseudo, *test_ids, **keywords):
        """Runs tests that a failure of something else keeps from running; returns the process."""
        process = self.run_tests(*test_ids, **keywords)
        expected = [(pseudo, "fail")] + [(test_id, "fail") for test_id in test_ids]
        self.assertEqual(process.outcomes(), expected)
        for test_id in test_ids:
            self.assertEqual(process.file(test_id, "setup-failure"), pseudo)
        self.assertFalse(any(p.runnable for p in process.packets if p.status != "inprogress"))
        return process

    def assert_outcome(self, test_id, status, **keywords):
        """Runs one test and returns the process."""
        process = self.run_tests(test_id, **keywords)
        self.assertEqual(process.outcomes(), [(test_id, status)])
        return process


class Listing(WorkerTestCase):
    def list(self, *arguments, **keywords):
        process = self.start(*(arguments + ("--list",)), **keywords).finish()
        self.assertEqual(process.exit_status, 0, process.stderr)
        return process

    def listed(self, *arguments, **keywords):
        process = self.list(*arguments, **keywords)
        return [p.test_id for p in process.packets if p.status == "exists" and p.runnable]

    def test_discovery(self):
        listed = self.listed("discover")
        for test_id in (
            "test_outcomes.Outcomes.test_success",
            "package.test_inner.Inner.test_inner",
            "loading.cases.Case.runTest(one)",
            "shared.Shared.test_shared",
            "unittest.loader.ModuleSkipped.test_not_here",
        ):
            self.assertIn(test_id, listed)

    def test_no_argument_means_discovery(self):
        self.assertEqual(self.listed(runner="unittest"), self.listed("discover"))

    def test_top_level_directory(self):
        listed = self.listed("discover", "-t", SUITE, "-s", os.path.join(SUITE, "package"))
        self.assertEqual(listed, ["package.test_inner.Inner.test_inner"])

    def test_pattern(self):
        listed = self.listed("discover", ".", "other*.py")
        self.assertIn("package.other.Other.test_not_discovered", listed)
        self.assertNotIn("package.test_inner.Inner.test_inner", listed)

    def test_names(self):
        names = ["package.test_inner", "test_fixtures.B", "test_fixtures.A.test_2"]
        expected = ["package.test_inner.Inner.test_inner", "test_fixtures.B.test_1"]
        self.assertEqual(self.listed(*names), expected + ["test_fixtures.A.test_2"])
        self.assertEqual(
            self.listed("package.other.suite"), ["package.other.Other.test_not_discovered"]
        )
        self.assertEqual(self.listed("package/test_inner.py"), expected[:1])

    @unittest.skipIf(sys.version_info < (3, 7), "unittest has no -k")
    def test_name_pattern(self):
        self.assertEqual(self.listed("-k", "test_1", "test_fixtures.A"), ["test_fixtures.A.test_1"])

    def test_import_error(self):
        process = self.list("discover", "-p", "test_broken.py")
        self.assertIn((PSEUDO + "test_broken", "fail"), process.outcomes())
        self.assertFalse(any(p.runnable for p in process.packets if p.status == "fail"))
        traceback = process.file(PSEUDO + "test_broken", "traceback")
        self.assertIn("a_module_that_nobody_has", traceback)

    def test_text_while_importing(self):
        process = self.list("discover", "-p", "test_inner.py")
        self.assertEqual(process.text(), "package imported\n")

    def test_load_list(self):
        with tempfile.NamedTemporaryFile() as ids:
            ids.write(b"test_fixtures.A.test_2\nnot.there\n")
            ids.flush()
            listed = self.listed("discover", "--load-list", ids.name)
        self.assertEqual(listed, ["test_fixtures.A.test_2"])

    def test_odd_ids(self):
        """S2: ids are data."""
        prefix = "test_outcomes.Oddity."
        found = [i[len(prefix) :] for i in self.listed("test_outcomes") if i.startswith(prefix)]
        odd = [
            "two\nlines",
            'it\'s "quoted"',
            "$(false) `x`",
            "a\\x00b",
            "\\udc80",
            "h\xe9 \U0001f40d",
        ]
        self.assertEqual(found, odd + ["twice", "twice"])
        asked = [prefix + name for name in found[:-1]]
        process = self.run_tests(*asked)
        self.assertEqual(process.outcomes(), [(test_id, "success") for test_id in asked])

    def test_no_such_directory(self):
        process = self.start("discover", "nowhere", "--list").finish()
        self.assertEqual(process.exit_status, 1)
        self.assertIn("nowhere", process.stderr)

    def test_unknown_option(self):
        process = self.start("--no-such-option").finish()
        self.assertEqual((process.exit_status, process.packets), (2, []))
        self.assertIn("--no-such-option", process.stderr)


class Outcomes(WorkerTestCase):
    def test_each(self):
        expected = [
            ("success", "success"),
            ("failure", "fail"),
            ("error", "fail"),
            ("skip", "skip"),
            ("expected_failure", "xfail"),
            ("unexpected_success", "uxsuccess"),
            ("exit", "fail"),
            ("generator_exit", "fail"),
            ("failure_and_error", "fail"),
        ]
        expected = [("test_outcomes.Outcomes.test_" + name, status) for name, status in expected]
        process = self.run_tests(*[test_id for test_id, _ in expected])
        self.assertEqual(process.outcomes(), expected)
        ends = [p for p in process.packets if p.status not in ("", "inprogress")]
        self.assertTrue(all(p.runnable for p in ends))
        reason = process.file("test_outcomes.Outcomes.test_skip", "reason")
        self.assertEqual(reason, "not today")

    def test_traceback(self):
        test_id = "test_outcomes.Outcomes.test_failure"
        process = self.assert_outcome(test_id, "fail")
        lines = process.file(test_id, "traceback").splitlines()
        self.assertEqual(lines[0], "Traceback (most recent call last):")
        self.assertIn("test_outcomes.py", lines[1])
        self.assertEqual(lines[-1], "AssertionError: 1 != 2")
        self.assertEqual(sum("File" in line for line in lines), 1, lines)
        mime = [p.mime for p in process.packets if p.name == "traceback"]
        self.assertEqual(mime, ['text/x-traceback; charset="utf8"; language="python"'])

    def test_two_tracebacks(self):
        test_id = "test_outcomes.Outcomes.test_failure_and_error"
        process = self.assert_outcome(test_id, "fail")
        self.assertIn("first", process.file(test_id, "traceback"))
        self.assertIn("no number", process.file(test_id, "traceback-1"))

    def test_times(self):
        process = self.assert_outcome("test_outcomes.Outcomes.test_success", "success")
        times = [p.time for p in process.packets if p.status in ("inprogress", "success")]
        self.assertEqual(times, sorted(times))
        self.assertGreater(times[0], 10**18)

    def test_frozen_clock(self):
        first, second = "test_input.Input.test_frozen_clock", "test_outcomes.Outcomes.test_success"
        process = self.run_tests(first, second)
        self.assertTrue(all(p.time > 10**18 for p in process.packets if p.status))

    def test_subtests(self):
        test_id = "test_outcomes.Parts.test_parts"
        process = self.run_tests(test_id)
        part = test_id + " (i=1)"
        self.assertEqual(process.outcomes(), [(part, "fail"), (test_id, "fail")])
        self.assertIn("1 == 1", process.file(part, "traceback"))
        for packet in process.packets:
            if packet.test_id == part:
                self.assertEqual((packet.parent, packet.runnable), (test_id, False))

    def test_skipped_subtest(self):
        test_id = "test_outcomes.Parts.test_skipped_part"
        process = self.run_tests(test_id)
        part = test_id + " (i=1)"
        self.assertEqual(process.outcomes(), [(part, "skip"), (test_id, "success")])
        self.assertEqual(process.file(part, "reason"), "odd")

    def test_no_outcome(self):
        test_id = "test_outcomes.Silent.test_says_nothing"
        process = self.assert_outcome(test_id, "fail")
        self.assertIn("no outcome", process.file(test_id, "no-outcome"))

    def test_huge_file(self):
        test_id = "test_output.Attachments.test_huge_message"
        process = self.assert_outcome(test_id, "fail")
        self.assertGreater(len(process.file(test_id, "traceback")), 5000000)
        pieces = [p for p in process.packets if p.name == "traceback"]
        self.assertEqual([p.eof for p in pieces], [False] * (len(pieces) - 1) + [True])

    @unittest.skipIf(sys.version_info < (3, 8), "unittest has no asynchronous tests")
    def test_asynchronous(self):
        ready, fails = "test_async.Async.test_ready", "test_async.Async.test_fails"
        process = self.run_tests(ready, fails)
        self.assertEqual(process.outcomes(), [(ready, "success"), (fails, "fail")])


class Loading(WorkerTestCase):
    def test_only_what_is_asked_for(self):
        process = self.run_tests("test_fixtures.B.test_1")
        self.assertNotIn("package imported", process.text())
        process = self.run_tests("package.test_inner.Inner.test_inner")
        self.assertIn("package imported", process.text())

    def test_again(self):
        test_id = "test_fixtures.B.test_1"
        process = self.run_tests(test_id, test_id)
        self.assertEqual(process.outcomes(), [(test_id, "success")] * 2)

    def test_load_tests_of_a_package(self):
        test_ids = ["loading.cases.Case.runTest(two)", "loading.cases.Case.runTest(one)"]
        process = self.run_tests(*test_ids)
        self.assertEqual(process.outcomes(), [(test_id, "success") for test_id in test_ids])
        self.assertNotIn("package imported", process.text())

    def test_class_from_elsewhere(self):
        self.assert_outcome("shared.Shared.test_shared", "success")

    def test_import_error(self):
        test_ids = ["test_broken.Gone.test_gone", "test_broken.Lost.test_lost"]
        pseudo = PSEUDO + "test_broken"
        process = self.assert_kept_from_running(pseudo, *test_ids)
        self.assertIn("a_module_that_nobody_has", process.file(pseudo, "traceback"))
        self.assertNotIn("testr_worker.py", process.file(pseudo, "traceback"))
        self.assertNotIn("package imported", process.text())

    def test_import_error_asked_for(self):
        process = self.assert_outcome(PSEUDO + "test_broken", "fail")
        self.assertIn("a_module_that_nobody_has", process.file(PSEUDO + "test_broken", "traceback"))
        self.assertFalse(any(p.runnable for p in process.packets))

    def test_import_error_among_others(self):
        """A package whose load_tests loads everything below it still has its good tests."""
        good, pseudo = "gathering.good.Good.test_1", PSEUDO + "gathering.bad"
        process = self.run_tests(good, "gathering.bad.Gone.test_gone", good)
        expected = [(good, "success"), (pseudo, "fail"), ("gathering.bad.Gone.test_gone", "fail")]
        self.assertEqual(process.outcomes(), expected + [(good, "success")])
        self.assertEqual(process.file("gathering.bad.Gone.test_gone", "setup-failure"), pseudo)

    def test_load_tests_that_fails(self):
        for module, why in ("test_load_fails", "no plan"), ("test_load_exits", "SystemExit"):
            test_id, pseudo = module + ".Case.test_1", PSEUDO + module
            for arguments in ["discover"], [module, "test_fixtures"]:
                process = self.assert_kept_from_running(pseudo, test_id, arguments=arguments)
                self.assertIn(why, process.file(pseudo, "traceback"))

    def test_interrupted_import(self):
        """SIGINT while a module is imported ends the worker; unittest thinks the module broken."""
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, "test_interrupted.py"), "w") as module:
                module.write("raise KeyboardInterrupt\n")
            for arguments in ["discover"], ["discover", "--list"], ["test_interrupted"]:
                process = self.start(*arguments, cwd=directory)
                process.ask("test_interrupted.Case.test_1")
                process.finish()
                self.assertEqual((process.exit_status, process.outcomes()), (130, []))

    def test_skipped_module(self):
        for test_id in "test_not_here.Case.test_1", "unittest.loader.ModuleSkipped.test_not_here":
            process = self.assert_outcome(test_id, "skip")
            self.assertEqual(process.file(test_id, "reason"), "not on this system")

    def test_unknown(self):
        for test_id in (
            "test_fixtures.B.test_gone",
            "no.such.module",
            "package.other.Other.test_not_discovered",
            "../x.\n$(id)",
        ):
            process = self.assert_outcome(test_id, "fail")
            self.assertIsNotNone(process.file(test_id, "unknown-test"))
            self.assertFalse(any(p.runnable for p in process.packets))

    def test_callable(self):
        arguments = ["package.test_inner", "package.other.suite"]
        test_id = "package.other.Other.test_not_discovered"
        self.assert_outcome(test_id, "success", arguments=arguments)

    def test_callable_that_returns_no_tests(self):
        arguments = ["package.other.no_suite", "test_fixtures.B"]
        self.assert_outcome("test_fixtures.B.test_1", "success", arguments=arguments)
        process = self.start("--list", *arguments).finish()
        self.assertEqual(process.outcomes(), [(PSEUDO + "package.other.no_suite", "fail")])
        self.assertEqual(process.exit_status, 0)

    def test_name_that_cannot_be_imported(self):
        pseudo, arguments = PSEUDO + "test_broken", ["test_broken", "test_fixtures"]
        test_id = "test_broken.Gone.test_gone"
        process = self.assert_kept_from_running(pseudo, test_id, arguments=arguments)
        self.assertIn("a_module_that_nobody_has", process.file(pseudo, "traceback"))

    def test_start_directory_that_is_a_module(self):
        arguments = ["discover", "-s", "package"]
        self.assert_outcome("package.test_inner.Inner.test_inner", "fail", arguments=arguments)
        arguments += ["-t", "."]
        self.assert_outcome("package.test_inner.Inner.test_inner", "success", arguments=arguments)


class Fixtures(WorkerTestCase):
    def test_shared_while_nothing_else_is_asked_for(self):
        process = self.start()
        for test_id in "test_fixtures.A.test_1", "test_fixtures.A.test_2":
            process.ask(test_id)
            process.wait_for(lambda p: p.test_id == test_id and p.status == "success")
        process.ask("test_fixtures.B.test_1", "test_outcomes.Outcomes.test_success")
        process.finish()
        self.assertEqual(
            process.story(),
            [
                "A.test_1 inprogress",
                "setUpModule",
                "setUpClass A",
                "A.test_1",
                "A.test_1 success",
                "A.test_2 inprogress",
                "A.test_2",
                "A.test_2 success",
                "tearDownClass A",
                "B.test_1 inprogress",
                "setUpClass B",
                "B.test_1",
                "B.test_1 success",
                "tearDownClass B",
                "tearDownModule",
                "Outcomes.test_success inprogress",
                "Outcomes.test_success success",
            ],
        )

    def test_torn_down_at_the_end(self):
        process = self.run_tests("test_fixtures.B.test_1")
        self.assertEqual(process.story()[-2:], ["tearDownClass B", "tearDownModule"])

    def test_set_up_again(self):
        a, b = "test_fixtures.A.test_1", "test_fixtures.B.test_1"
        lines = self.run_tests(a, b, a).text().splitlines()
        self.assertEqual(lines.count("setUpClass A"), 2)
        self.assertEqual(lines.count("tearDownClass A"), 2)
        self.assertEqual(lines.count("setUpModule"), 1)

    @unittest.skipIf(sys.version_info < (3, 8), "unittest has no class cleanups")
    def test_class_cleanup(self):
        self.assertIn("class cleanup\n", self.run_tests("test_fixtures.CleansUp.test_1").text())

    def test_begins_again_after_set_up(self):
        process = self.run_tests("test_fixtures.A.test_1", "test_fixtures.A.test_2")
        begun = [p.test_id[-1] for p in process.packets if p.status == "inprogress"]
        self.assertEqual(begun, ["1", "1", "2"])

    def test_class_that_fails(self):
        pseudo = "setUpClass (test_setup_fails.Fails)"
        first, second = "test_setup_fails.Fails.test_1", "test_setup_fails.Fails.test_2"
        process = self.assert_kept_from_running(pseudo, first, second)
        self.assertIn("no database", process.file(pseudo, "traceback"))
        self.assertEqual(process.text(), "trying\n")

    def test_class_that_fails_one_by_one(self):
        """What is asked for later is answered without trying the set-up again."""
        process = self.start()
        for test_id in "test_setup_fails.Fails.test_1", "test_setup_fails.Fails.test_2":
            process.ask(test_id)
            process.wait_for(lambda p: p.test_id == test_id and p.status == "fail")
        self.assertEqual(process.finish().text(), "trying\n")

    def test_class_that_fails_is_tried_again(self):
        """... until another class was set up between, as unittest does."""
        first, other = "test_setup_fails.Fails.test_1", "test_setup_fails.TearDown.test_1"
        process = self.run_tests(first, other, first)
        pseudo = ("setUpClass (test_setup_fails.Fails)", "fail")
        failed = [pseudo, (first, "fail")]
        self.assertEqual(process.outcomes(), failed + [(other, "success")] + failed)
        self.assertEqual(process.text().splitlines(), ["trying", "tearDownClass", "trying"])

    def test_class_below_one_that_fails(self):
        """A fixture that calls its base's fails as itself; a class that is skipped has none."""
        pseudo = "setUpClass (test_setup_fails.Below)"
        self.assert_kept_from_running(pseudo, "test_setup_fails.Below.test_1")
        first, second = "test_setup_fails.Fails.test_1", "test_setup_fails.Skipped.test_1"
        process = self.run_tests(first, second)
        self.assertEqual(process.outcomes()[-1], (second, "skip"))

    def test_class_that_exits(self):
        first, second = "test_setup_fails.Exits.test_1", "test_fixtures.A.test_1"
        process = self.run_tests(first, second)
        pseudo = "setUpClass (test_setup_fails.Exits)"
        expected = [(pseudo, "fail"), (first, "fail"), (second, "success")]
        self.assertEqual(process.outcomes(), expected)

    def test_class_that_skips(self):
        test_ids = ["test_setup_fails.Skips.test_1", "test_setup_fails.Skips.test_2"]
        process = self.run_tests(*test_ids)
        self.assertEqual(process.outcomes(), [(test_id, "skip") for test_id in test_ids])
        self.assertEqual(process.file(test_ids[1], "reason"), "no such system")

    def test_module_that_fails(self):
        first, second = "test_module_fails.A.test_1", "test_module_fails.B.test_1"
        pseudo = "setUpModule (test_module_fails)"
        process = self.assert_kept_from_running(pseudo, first, second)
        self.assertIn("no network", process.file(pseudo, "traceback"))

    def test_module_that_fails_and_others(self):
        first, other = "test_module_fails.A.test_1", "test_fixtures.B.test_1"
        process = self.run_tests(first, other, first)
        failed = [("setUpModule (test_module_fails)", "fail"), (first, "fail")]
        self.assertEqual(process.outcomes(), failed + [(other, "success")] + failed)

    def test_module_that_skips(self):
        test_ids = ["test_module_skips.A.test_1", "test_module_skips.B.test_1"]
        process = self.run_tests(*test_ids)
        self.assertEqual(process.outcomes(), [(test_id, "skip") for test_id in test_ids])
        self.assertEqual(process.file(test_ids[1], "reason"), "no such device")

    def test_tear_down_that_fails(self):
        first, second = "test_setup_fails.TearDownFails.test_1", "test_fixtures.A.test_1"
        process = self.run_tests(first, second)
        pseudo = "tearDownClass (test_setup_fails.TearDownFails)"
        expected = [(first, "success"), (pseudo, "fail"), (second, "success")]
        self.assertEqual(process.outcomes(), expected)
        self.assertIn("still busy", process.file(pseudo, "traceback"))
        self.assertFalse(any(p.runnable for p in process.packets if p.test_id == pseudo))


class Text(WorkerTestCase):
    def test_comes_before_the_outcome(self):
        for name, expected in [
            ("print", "printed\n"),
            ("partial_line", "no newline"),
            ("descriptor", "from the descriptor\n"),
            ("subprocess", "before\nfrom a subprocess\nafter\n"),
            ("much", ("x" * 999 + "\n") * 3000),
        ]:
            process = self.assert_outcome("test_output.Output.test_" + name, "success")
            self.assertEqual(process.text(), expected)
            self.assertEqual(process.packets[-1].status, "success")

    def test_packets_in_text(self):
        """S4: what a test prints is never taken for a packet."""
        process = self.start()
        process.ask("test_output.Output.test_signature")
        process.wait_for(lambda p: p.content == b"\xb3\x29\x01\x0c")
        self.assertEqual(process.finish().exit_status, 0)

    def test_stderr_stays(self):
        process = self.assert_outcome("test_output.Output.test_stderr", "success")
        self.assertEqual(process.stderr, "to stderr\n")

    def test_stdout_closed(self):
        """A test that closes its output neither stops the worker nor the next test's output."""
        for name in "close_descriptor", "close_stdout", "replace_stdout":
            closing, second = (
                "test_output.Output.test_" + name,
                "test_output.Output.test_subprocess",
            )
            process = self.run_tests(closing, "test_output.Output.test_descriptor", second)
            self.assertEqual(process.outcomes()[0], (closing, "success"))
            self.assertEqual(process.outcomes()[2], (second, "success"), process.stderr)
            self.assertIn("from the descriptor\n", process.text())

    def test_buffered(self):
        test_id = "test_output.Output.test_fails"
        process = self.assert_outcome(test_id, "fail", arguments=["-b", "test_output"])
        self.assertIn("Stdout:\na clue\n", process.file(test_id, "traceback"))
        process = self.run_tests("test_output.Output.test_print", arguments=["-b", "test_output"])
        self.assertEqual(process.text(), "")

    def test_prompt_appears_at_once(self):
        process = self.start()
        process.ask("test_input.Input.test_prompt")
        process.wait_for(lambda p: p.content == b"(Pdb) ")
        process.type(b"continue\n")
        process.finish()
        self.assertEqual(process.outcomes(), [("test_input.Input.test_prompt", "success")])


class Channel(WorkerTestCase):
    def test_input(self):
        process = self.start()
        process.type(b"an answer\n")
        process.ask("test_input.Input.test_line", "test_input.Input.test_all")
        process.wait_for(lambda p: p.status == "success")
        process.type(eof=True)
        process.finish()
        self.assertEqual([status for _, status in process.outcomes()], ["success"] * 2)

    def test_input_ends_with_the_channel(self):
        process = self.start()
        process.ask("test_input.Input.test_all")
        process.finish()
        self.assertEqual(process.outcomes(), [("test_input.Input.test_all", "success")])

    def test_input_after_the_last_request(self):
        process = self.start()
        process.ask("test_input.Input.test_line")
        process.end()
        process.type(b"an answer\n")
        process.wait_for(lambda p: p.status == "success")
        process.finish()

    def test_input_that_nobody_reads(self):
        """F8: more than a pipe holds must not stop the channel."""
        process = self.start()
        for _ in range(4):
            process.type(b"x" * 100000)
        process.ask("test_outcomes.Outcomes.test_success")
        process.wait_for(lambda p: p.status == "success")
        self.assertEqual(process.finish().exit_status, 0)

    def test_withdrawal_beside_a_running_test(self):
        running, waiting = "test_input.Input.test_line", "test_outcomes.Outcomes.test_success"
        process = self.start()
        process.ask(running, waiting)
        process.wait_for(lambda p: p.test_id == running)
        process.withdraw(running)
        process.withdraw(waiting)
        process.wait_for(lambda p: p.test_id == waiting and p.status == "exists" and p.runnable)
        process.type(b"an answer\n")
        process.finish()
        self.assertEqual(process.outcomes(), [(running, "success")])

    def test_withdrawal_of_what_was_never_asked_for(self):
        process = self.start()
        process.withdraw("test_outcomes.Outcomes.test_success")
        process.finish()
        self.assertEqual(process.packets, [])

    def test_other_fields(self):
        test_id = b"test_outcomes.Outcomes.test_success"
        time = struct.pack(">I", 5) + number(10**9 - 1)
        tags = number(2) + text(b"a") + text(b"b" * 70)
        process = self.start()
        body = time + text(test_id) + tags + text(b"text/plain") + text(b"0/1")
        process.send(encode(0x0901 | 0x0200 | 0x0080 | 0x0020 | 0x0400, body))
        process.finish()
        self.assertEqual(process.outcomes(), [(test_id.decode(), "success")])

    def test_damage(self):
        """F15: a whole request comes through what isn't one."""
        test_id = "test_outcomes.Outcomes.test_success"
        process = self.start()
        process.send(b"noise \xb3" + encode(0x0901, text(b"x"))[:-1] + b"?")
        process.ask(test_id)
        process.finish()
        self.assertEqual(process.outcomes(), [(test_id, "success")])

    def test_packet_in_pieces(self):
        process = self.start()
        for octet in encode(0x0901, text(b"test_outcomes.Outcomes.test_success")):
            process.send(bytes((octet,)))
        process.finish()
        self.assertEqual([status for _, status in process.outcomes()], ["success"])

    def test_long_ids(self):
        test_id = "x" * 100000
        self.assert_outcome(test_id, "fail")

    def test_many(self):
        process = self.start("test_fixtures.A")
        for _ in range(300):
            process.ask("test_fixtures.A.test_1", "test_fixtures.A.test_2")
        process.end()
        self.assertEqual(len(process.finish().outcomes()), 600)

    def test_reader_gone(self):
        """A worker whose supervisor has gone ends, and tears down."""
        process = self.start("test_fixtures.A")
        process._process.stdout.close()
        process.ask("test_fixtures.A.test_1", "test_fixtures.A.test_2")
        self.assertEqual(process._process.wait(), 1)
        process._process.stdin.close()
        process._process.stderr.close()


class Processes(WorkerTestCase):
    def test_children(self):
        names = ["fork_and_exit", "fork_and_return", "fork_and_raise", "fork_and_print", "spawn"]
        test_ids = ["test_processes.Processes.test_" + name for name in names]
        process = self.run_tests(*test_ids)
        expected = [(test_id, "success") for test_id in test_ids]
        self.assertEqual(process.outcomes(), expected, process.stderr)
        self.assertEqual(process.text().splitlines(), ["in the child", "in the spawned process"])
        begun = [p.test_id for p in process.packets if p.status == "inprogress"]
        self.assertEqual(len(begun), len(test_ids) + 1)

    def test_death(self):
        process = self.start()
        process.ask("test_processes.Processes.test_dies", "test_outcomes.Outcomes.test_success")
        process.finish()
        self.assertEqual(process.exit_status, 7)
        self.assertEqual(process.outcomes(), [])
        self.assertEqual(process.packets[-1].test_id, "test_processes.Processes.test_dies")

    def test_thread_left_behind(self):
        self.assert_outcome("test_processes.Processes.test_leaves_thread", "success")

    def test_interrupted(self):
        process = self.start()
        process.ask("test_processes.Processes.test_interrupted")
        process.finish()
        self.assertEqual((process.exit_status, process.outcomes()), (130, []))
        self.assertIn("KeyboardInterrupt", process.stderr)

    def test_signals(self):
        for number, status in (signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM):
            process = self.start()
            process.ask("test_input.Input.test_line")
            process.wait_for(lambda p: p.status == "inprogress")  # it is loaded
            process.wait_for(lambda p: p.status == "inprogress")  # it begins
            process.kill(number)
            self.assertEqual(process.finish().exit_status, status)

    def stop(self, test_name):
        """Ends a worker by SIGTERM within a test, and returns what it wrote to stderr."""
        test_id = "test_processes.Processes.test_" + test_name
        process = self.start()
        process.ask(test_id)
        self.assertEqual(process._process.stderr.readline(), b"ready\n")
        process.kill(signal.SIGTERM)
        process.finish()
        self.assertEqual(process.exit_status, -signal.SIGTERM)
        return process.stderr

    @unittest.skipIf(sys.version_info < (3, 7), "Python tells of no forks")
    def test_stacks_of_a_hung_test(self):
        """F2: a test that hangs shows where."""
        for name in "hangs", "hangs_deaf":
            stacks = self.stop(name)
            self.assertRegex(stacks, r'test_processes.py", line [0-9]+ in test_' + name)
            self.assertRegex(stacks, r'test_processes.py", line [0-9]+ in hang_beside')

    def test_no_stacks_without_stderr(self):
        command = 'exec "$@" 2>&-'
        arguments = [sys.executable, WORKER, "--runner", "unittest"]
        process = subprocess.Popen(
            ["sh", "-c", command, "sh"] + arguments,
            cwd=SUITE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        test_id = "test_outcomes.Outcomes.test_success"
        output, _ = process.communicate(encode(0x0901, text(test_id.encode())))
        self.assertEqual(process.returncode, 0)
        self.assertIn(test_id.encode(), output)

    def test_sigterm_of_children(self):
        """Processes that a test starts die of SIGTERM as ever, and keep the handlers it has set."""
        names = ["default", "forked", "multiprocessing", "executed", "handled_in_child"]
        test_ids = ["test_processes.Sigterm.test_" + name for name in names]
        process = self.run_tests(*test_ids)
        expected = [(test_id, "success") for test_id in test_ids]
        self.assertEqual(process.outcomes(), expected, process.stderr)
        self.assertEqual(process.stderr, "")

    def test_interpreter(self):
        """The tests see the sys of `python -m`, and functions of atexit are called."""
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, "test_sys.py"), "w") as module:
                module.write(
                    "import atexit, sys, unittest\n"
                    "atexit.register(print, 'at exit')\n"
                    "class Sys(unittest.TestCase):\n"
                    "    def test_sys(self):\n"
                    "        print(sys.path[0], sys.argv, sys.flags.optimize)\n"
                    "        self.assertNotIn('testr_worker', sys.modules)\n"
                )
            process = self.assert_outcome(
                "test_sys.Sys.test_sys", "success", cwd=directory, options=["-O"]
            )
            printed, at_exit = process.text().splitlines()
            name = os.path.basename(sys.executable)
            argv = ["%s -m subunit.run" % name, "discover"]
            self.assertEqual(printed, "%s %s 1" % (os.path.realpath(directory), argv))
            self.assertEqual(at_exit, "at exit")

    def test_usage(self):
        command = [sys.executable, WORKER, "--list"]
        process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(process.returncode, 1)
        self.assertTrue(re.match(b"usage:", process.stderr), process.stderr)


if __name__ == "__main__":
    unittest.main()
