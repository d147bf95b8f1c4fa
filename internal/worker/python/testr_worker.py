"""testr's streaming worker for unittest and everything built on it.

testr runs this file in the place of ``-m subunit.run`` (or another runner) within the user's
command, so interpreter, environment and arguments are the user's:

    python testr_worker.py --runner subunit.run discover -t . ./tests [--list]

With --list it writes a packet for each test and exits. Otherwise it reads requests on its standard
input, runs the tests asked for in this one process and writes what became of them to its standard
output, both as subunit 2 packets (docs/protocol.md). A module is imported when the first of its
tests is asked for.

The tests get another standard input and output. Theirs are pipes: file descriptor 1 is read by a
thread and passed on as the file "stdout" of no test; file descriptor 0 delivers what the channel
sends as the file "stdin" and ends when that file or the channel does, so that reading it blocks
until then. Standard error stays what it was. What a process wrote to descriptor 1 in the last
milliseconds before it was killed or called _exit is lost with it.

A worker that SIGTERM ends, as testr does with tests that take too long, writes first where each
of its threads stood to its standard error.

Standard library only, Python 3.6 and later, POSIX. It uses neither subunit nor testtools, but
speaks testtools' extended result API to tests that do.
"""

import _thread
import atexit
import collections
import faulthandler
import fcntl
import functools
import io
import os
import select
import signal
import struct
import sys
import threading
import time
import traceback
import unittest
import unittest.case
import unittest.loader
import unittest.suite
import unittest.util
import warnings
import zlib

# unittest cuts the frames of modules that have this name out of tracebacks.
__unittest = True

SIGNATURE = 0xB3
VERSION = 0x2000
HAS_TEST_ID = 0x0800
HAS_ROUTE = 0x0400
HAS_TIME = 0x0200
RUNNABLE = 0x0100
HAS_TAGS = 0x0080
HAS_FILE = 0x0040
HAS_MIME = 0x0020
END_OF_FILE = 0x0010
HAS_PARENT = 0x0008  # subunit 2.1

NONE, EXISTS, INPROGRESS, SUCCESS, UXSUCCESS, SKIP, FAIL, XFAIL = range(8)

# Of several things said about one test the one with the highest rank is its outcome. Success
# stands above skip: a test is not skipped because one of its parts was.
RANK = {NONE: 0, SKIP: 1, XFAIL: 2, SUCCESS: 3, UXSUCCESS: 4, FAIL: 5}

# A packet holds less than 4 MiB. These leave room for a file's piece and every text beside it.
PIECE_SIZE = 1 << 20
TEXT_LIMIT = 1 << 17  # characters, of up to six octets

TEXT_TYPE = "text/plain; charset=utf8"
TRACEBACK_TYPE = 'text/x-traceback; charset="utf8"; language="python"'

READ_SIZE = 1 << 16
TEXT_PIPE_SIZE = 1 << 20
TEXT_PAUSE = 0.005  # seconds in which printed lines gather, so that they don't each cost a packet

# Ids that unittest gives to what stands in the place of a module that it could not load.
STAND_IN_PREFIXES = ("unittest.loader._FailedTest.", "unittest.loader.ModuleSkipped.")

# Tests replace functions of the system in all kinds of ways (mock, eventlet); the worker goes on
# with those that it began with.
_allocate_lock, _start_thread = _thread.allocate_lock, _thread.start_new_thread
_close, _dup2, _exit, _getpid = os.close, os.dup2, os._exit, os.getpid
_is_inherited, _read, _write = os.get_inheritable, os.read, os.write


def to_wire(text):
    """Returns a text as a packet can hold it: UTF-8 without NUL, not endless."""
    text = str(text)[:TEXT_LIMIT]
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace")


def encode_number(value):
    """Returns a number in as few octets as the format allows."""
    if value < 0x40:
        return bytes((value,))
    if value < 0x4000:
        return struct.pack(">H", value | 0x4000)
    if value < 0x400000:
        return struct.pack(">I", value | 0x800000)[1:]
    return struct.pack(">I", value | 0xC0000000)


def encode_packet(
    status=NONE,
    test_id=None,
    runnable=False,
    when=None,
    tags=(),
    mime_type=None,
    name=None,
    content=b"",
    eof=False,
    parent=None,
):
    """Returns the octets of a packet. Texts are octets already; when is in nanoseconds."""
    flags = VERSION | status | (RUNNABLE if runnable else 0) | (END_OF_FILE if eof else 0)
    fields = []
    if when is not None:
        flags |= HAS_TIME
        seconds, nanoseconds = divmod(when, 1000000000)
        fields += struct.pack(">I", seconds & 0xFFFFFFFF), encode_number(nanoseconds)
    if test_id is not None:
        flags |= HAS_TEST_ID
        fields += encode_number(len(test_id)), test_id
    if tags:
        flags |= HAS_TAGS
        fields.append(encode_number(len(tags)))
        for tag in tags:
            fields += encode_number(len(tag)), tag
    if mime_type is not None:
        flags |= HAS_MIME
        fields += encode_number(len(mime_type)), mime_type
    if name is not None:
        flags |= HAS_FILE
        fields += encode_number(len(name)), name, encode_number(len(content)), content
    if parent is not None:
        flags |= HAS_PARENT
        fields += encode_number(len(parent)), parent
    body = b"".join(fields)
    # Signature, flags and checksum take 7 octets; the length counts itself.
    length = 7 + len(body) + 1
    if length >= 0x40:
        length += 1 if length + 1 < 0x4000 else 2
    packet = struct.pack(">BH", SIGNATURE, flags) + encode_number(length) + body
    return packet + struct.pack(">I", zlib.crc32(packet))


Request = collections.namedtuple("Request", "status runnable eof test_id name content")


def decode_number(data, position):
    """Returns the number at a position, and the position after it."""
    if data[position] < 0x40:
        return data[position], position + 1
    size = (data[position] >> 6) + 1
    end = position + size
    if end > len(data):
        raise ValueError("number cut short")
    return int.from_bytes(data[position:end], "big") & ((1 << (8 * size - 2)) - 1), end


def decode_text(data, position):
    """Returns the octets at a position that their length precedes, and the position after them."""
    length, position = decode_number(data, position)
    return bytes(data[position : position + length]), position + length


def decode_packet(data):
    """Returns what a whole packet asks for. The fields that no request has are passed over."""
    if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
        raise ValueError("checksum is wrong")
    flags = int.from_bytes(data[1:3], "big")
    _, position = decode_number(data, 3)
    test_id = name = None
    content = b""
    if flags & HAS_TIME:
        _, position = decode_number(data, position + 4)
    if flags & HAS_TEST_ID:
        test_id, position = decode_text(data, position)
    if flags & HAS_TAGS:
        count, position = decode_number(data, position)
        for _ in range(count):
            _, position = decode_text(data, position)
    if flags & HAS_MIME:
        _, position = decode_text(data, position)
    if flags & HAS_FILE:
        name, position = decode_text(data, position)
        content, position = decode_text(data, position)
    return Request(
        flags & 7, bool(flags & RUNNABLE), bool(flags & END_OF_FILE), test_id, name, content
    )


def take_packet(data):
    """Takes the first packet out of a bytearray; returns None if it isn't all there yet.

    What is no packet is passed over: nobody but testr writes to a worker.
    """
    while True:
        start = data.find(SIGNATURE)
        del data[: start if start >= 0 else len(data)]
        if len(data) < 6:
            return None
        length, _ = decode_number(data, 3)
        if len(data) < length:
            return None
        try:
            request = decode_packet(data[:length])
        except (ValueError, IndexError):
            del data[0]
            continue
        del data[:length]
        return request


class PacketWriter:
    """Writes packets, each with one write, from any thread of the process that made it.

    What a forked child would write is dropped: it is no worker, only something that a test does.
    """

    def __init__(self, fd):
        self.broken = False
        self._fd = fd
        self._pid = _getpid()
        self._forked = None  # where Python tells of forks, whether this is a child
        if hasattr(os, "register_at_fork"):
            self._forked = False
            os.register_at_fork(after_in_child=self._note_fork)
        self._lock = _allocate_lock()
        # An attribute of an object is what the libraries that freeze time leave alone.
        self._now = getattr(time, "time_ns", functools.partial(_time_ns, time.time))

    def in_child(self):
        """Tells whether this is a forked child of the worker."""
        if self._forked is None:
            return _getpid() != self._pid
        return self._forked

    def _note_fork(self):
        self._forked = True

    def write(self, timed=False, **fields):
        """Writes a packet with these fields, and the time if it is wanted."""
        if self.in_child() or self.broken:
            return
        packet = encode_packet(when=self._now() if timed else None, **fields)
        try:
            with self._lock:
                written = _write(self._fd, packet)
                while written < len(packet):
                    written += _write(self._fd, packet[written:])
        except OSError:
            # Nobody is left to report to. The worker sees it and ends.
            self.broken = True

    def write_file(self, name, content, mime_type, **fields):
        """Writes a file in as many packets as it needs."""
        fields.update(name=to_wire(name), mime_type=to_wire(mime_type))
        while len(content) > PIECE_SIZE:
            self.write(content=content[:PIECE_SIZE], **fields)
            content = content[PIECE_SIZE:]
        self.write(content=content, eof=True, **fields)


def _time_ns(clock):
    """Stands in for time.time_ns, which Python 3.6 doesn't have."""
    return int(clock() * 1e9)


class Mailbox:
    """A queue with one reader, made of nothing that tests could replace."""

    def __init__(self):
        self._items = collections.deque()
        self._lock = _allocate_lock()
        self._news = _allocate_lock()
        self._news.acquire()
        self._awaited = False

    def put(self, item):
        """Adds an item."""
        with self._lock:
            self._items.append(item)
            if self._awaited:
                self._awaited = False
                self._news.release()

    def get(self):
        """Returns the first item, and waits until there is one."""
        while True:
            with self._lock:
                if self._items:
                    return self._items.popleft()
                self._awaited = True
            self._news.acquire()

    def peek(self, default):
        """Returns the first item and leaves it there; never waits."""
        try:
            return self._items[0]
        except IndexError:
            return default

    def remove(self, item):
        """Takes an item out; tells whether it was there."""
        with self._lock:
            try:
                self._items.remove(item)
            except ValueError:
                return False
            return True


def flush(stream):
    """Flushes a stream if that can be done."""
    try:
        stream.flush()
    except Exception:
        pass  # it is closed, None, or whatever a test left there


def duplicate(fd):
    """Returns a copy of a descriptor that is none of the standard three, even if one is closed."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


class Output:
    """File descriptor 1 as the tests have it: a pipe, passed on as packets of the file "stdout"."""

    def __init__(self, writer):
        self._writer = writer
        self._reader, self._source = os.pipe()
        self._size = self._enlarge()
        self._lock = _allocate_lock()
        self._look = self._poll().poll
        self._sleep = time.sleep
        _dup2(self._source, 1)
        self._original = sys.stdout
        self._buffer_lines()
        _start_thread(self._pump, ())

    def _enlarge(self):
        """Makes room for much text between two looks at the pipe, where the system can."""
        try:
            return fcntl.fcntl(self._source, 1031, TEXT_PIPE_SIZE)  # Linux' F_SETPIPE_SZ
        except OSError:
            return READ_SIZE

    def _buffer_lines(self):
        """Has sys.stdout pass every line on at once: a prompt or a progress report must appear."""
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(line_buffering=True)
        elif sys.stdout is not None:
            sys.stdout = sys.__stdout__ = self._open()

    def _open(self):
        encoding = getattr(self._original, "encoding", None)
        errors = getattr(self._original, "errors", None)
        return io.open(1, "w", 1, encoding=encoding, errors=errors, closefd=False)

    def _poll(self):
        """Returns a poll object for the pipe; each thread needs one of its own."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        return poll

    def _pump(self):
        """Passes text on while tests run. Owned by a thread that lives as long as the process."""
        wait = self._poll().poll
        while True:
            wait()
            if not self._collect():
                return
            self._sleep(TEXT_PAUSE)

    def _collect(self):
        """Passes on what is in the pipe; tells whether the pipe is still there."""
        if self._writer.in_child():
            return False
        with self._lock:
            # Not more than the pipe holds: something may write to it without ever pausing.
            for _ in range(self._size // READ_SIZE + 1):
                if not self._look(0):
                    return True
                try:
                    text = _read(self._reader, READ_SIZE)
                except OSError:
                    return False  # a test closed it
                self._writer.write(name=b"stdout", content=text)
        return True

    def drain(self):
        """Passes on all that was written before, so that it comes before what is reported next."""
        flush(sys.stdout)
        if sys.stdout is not sys.__stdout__:
            flush(sys.__stdout__)
        self._collect()

    def repair(self):
        """Gives the next test a standard output again if this one closed it."""
        try:
            _is_inherited(1)
        except OSError:
            _dup2(self._source, 1)
        if sys.__stdout__ is not None and sys.__stdout__.closed:
            if sys.stdout is sys.__stdout__:
                sys.stdout = self._open()
            sys.__stdout__ = sys.stdout


class Input:
    """File descriptor 0 as the tests have it: a pipe that gets what the channel sends for it."""

    def __init__(self):
        reader, self._fd = os.pipe()
        _dup2(reader, 0)
        _close(reader)
        self._pieces = None

    def put(self, piece):
        """Adds a piece; None is the end. Never waits for a test to read."""
        if self._pieces is None:
            self._pieces = Mailbox()
            _start_thread(self._feed, ())
        self._pieces.put(piece)

    def _feed(self):
        """Writes the pieces. Owned by a thread that ends with the last of them."""
        try:
            while True:
                piece = self._pieces.get()
                if piece is None:
                    break
                while piece:
                    piece = piece[_write(self._fd, piece) :]
        except OSError:
            pass  # a test closed it
        finally:
            _close(self._fd)


class Channel:
    """What testr asks for, read beside the running test."""

    def __init__(self, fd, writer):
        self._fd = fd
        self._writer = writer
        self._asked = Mailbox()
        self._input = Input()
        self._input_open = True
        _start_thread(self._listen, ())

    def next(self):
        """Waits for the next test id; None means that there will be no more."""
        return self._asked.get()

    def peek(self, default):
        """Returns what next would return, or the default where that would wait.

        The test may still be taken back before next returns it.
        """
        return self._asked.peek(default)

    def _listen(self):
        """Reads the channel to its end. Owned by a thread of its own."""
        data = bytearray()
        try:
            while True:
                received = _read(self._fd, READ_SIZE)
                if not received:
                    break
                data += received
                request = take_packet(data)
                while request is not None:
                    self._handle(request)
                    request = take_packet(data)
        finally:
            self._asked.put(None)
            self._feed(None)

    def _handle(self, request):
        if request.test_id is not None:
            if request.status == EXISTS and request.runnable:
                self._asked.put(request.test_id)
            elif request.status == SKIP and self._asked.remove(request.test_id):
                self._writer.write(status=EXISTS, test_id=request.test_id, runnable=True)
        elif request.name == b"stdin":
            if request.content:
                self._feed(request.content)
            if request.eof:
                self._feed(None)
        elif request.eof and request.name is None:
            self._asked.put(None)

    def _feed(self, piece):
        if self._input_open:
            self._input.put(piece)
            self._input_open = piece is not None


class Report:
    """What is said about one test id between its beginning and its outcome."""

    def __init__(self, writer, test_id, parent=None, runnable=False):
        self.test_id = test_id
        self.status = NONE
        self.tags = ()
        self.begun = False
        self._writer = writer
        self._fields = {"test_id": test_id, "runnable": runnable}
        if parent is not None:
            self._fields["parent"] = parent
        self._names = {}

    def begin(self):
        """Says that the test begins now. Said again, the test begins again."""
        self.begun = True
        self._writer.write(status=INPROGRESS, timed=True, **self._fields)

    def add_file(self, name, content, mime_type):
        """Attaches a file, under a name of its own where one was used before."""
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        if count:
            name = "%s-%d" % (name, count)
        self._writer.write_file(name, content, mime_type, **self._fields)

    def add_status(self, status):
        """Counts a status in."""
        if RANK[status] > RANK[self.status]:
            self.status = status

    def set_runnable(self, runnable):
        """Says from now on whether the id is one that can be asked for and run."""
        self._fields["runnable"] = runnable

    def end(self):
        """Writes the outcome."""
        tags = sorted(map(to_wire, self.tags)) if self.tags else ()
        self._writer.write(status=self.status, timed=True, tags=tags, **self._fields)


class Result(unittest.TestResult):
    """Turns what unittest and testtools say about tests into packets.

    One request is open at a time. Tests with other ids that appear meanwhile (subtests, scenarios
    that are multiplied at run time) are its parts: reported under their own ids, not runnable,
    and counted in for the outcome of the request.
    """

    def __init__(self, writer, output, program):
        super().__init__()
        self.buffer = program.buffer
        self.tb_locals = program.tb_locals
        # Of the set-up that keeps tests of the current class from running: id, and why if it skips.
        self.setup_failure = None
        self._writer = writer
        self._output = output
        self._test = None
        self._request = None
        self._parts = {}
        self._tags = frozenset()
        self._outer_tags = []
        self._stand_ins = set()  # the ids of those that were reported

    # What the worker calls.

    def open(self, test_id, found):
        """Begins a request, for a test that was found or for one that has to be looked for."""
        self._output.drain()
        self._request = Report(self._writer, test_id, runnable=found)
        self._request.begin()

    def accept(self):
        """Says that the test of the open request was found."""
        self._request.set_runnable(True)

    def run(self, test):
        """Runs the test that the open request is about. Whatever it raises is its failure."""
        self._test = test
        # What a loader could not load, unittest remembers for the whole process, and its
        # programs fail for it: a test of a test runner must not leave that to another one.
        loader = unittest.defaultTestLoader
        remembered = list(loader.errors)
        try:
            test(self)
        except KeyboardInterrupt:
            raise
        except BaseException:
            error = sys.exc_info()
            self._leave_child(error)
            # testtools raises again what it has reported before.
            if self._request.status != FAIL:
                self._add_traceback(self._request, test, error)
                self._request.add_status(FAIL)
        finally:
            self._test = None
            loader.errors[:] = remembered
        self._leave_child()

    def begin_again(self):
        """Says that the test itself begins: what came before was loading and set-up."""
        self._output.drain()
        self._request.begin()

    def fail(self, name, text):
        """Lets the open request fail for a reason that is no exception."""
        self._request.add_file(name, to_wire(text), TEXT_TYPE)
        self._request.add_status(FAIL)

    def keep_from_running(self, failed):
        """Lets the open request fail because something else did that its test needs, by its id."""
        self._request.set_runnable(False)
        self.fail("setup-failure", failed)

    def skip(self, reason):
        """Lets the open request be skipped."""
        self._request.add_file("reason", to_wire(reason), TEXT_TYPE)
        self._request.add_status(SKIP)

    def close(self):
        """Ends the open request."""
        if self._request.status == NONE:
            self.fail("no-outcome", "The test ended and reported no outcome.\n")
        self._end(self._request)
        self._request = None
        self._parts.clear()
        self._tags = frozenset()
        del self._outer_tags[:]

    def report_stand_in(self, test):
        """Reports the error that a loader's stand-in for a module holds, once for each id."""
        test_id = test_key(test)
        if test_id in self._stand_ins:
            return
        self._stand_ins.add(test_id)
        request, self._request = self._request, Report(self._writer, test_id)
        self.run(test)
        self._end(self._request)
        self._request = request

    # What tests and suites call: unittest's API with testtools' extensions.

    def startTest(self, test):
        report = self._report(test)
        if not report.begun and report is not self._request:
            report.begin()
        self._outer_tags.append(self._tags)
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        report = self._report(test)
        if report is not self._request:
            self._end_part(report)
        if self._outer_tags:
            self._tags = self._outer_tags.pop()

    def addSuccess(self, test, details=None):
        self._add(test, SUCCESS, None, details)

    def addError(self, test, err=None, details=None):
        self._mirrorOutput = True
        if isinstance(test, unittest.suite._ErrorHolder):
            self._add_setup_failure(test, err)
        else:
            self._add(test, FAIL, err, details)

    addFailure = addError

    def addExpectedFailure(self, test, err=None, details=None):
        self._add(test, XFAIL, err, details)

    def addUnexpectedSuccess(self, test, details=None):
        self._add(test, UXSUCCESS, None, details)

    def addSkip(self, test, reason=None, details=None):
        if isinstance(test, unittest.suite._ErrorHolder):
            # The tests that this keeps from running are skipped, each for this reason.
            self.setup_failure = test.id(), reason
            return
        if reason is not None:
            self._report(test).add_file("reason", to_wire(reason), TEXT_TYPE)
        self._add(test, SKIP, None, details)

    def addSubTest(self, test, subtest, err):
        if err is None:
            self._report(test).add_status(SUCCESS)
        else:
            self._mirrorOutput = True
            self._add(subtest, FAIL, err, None)

    def addDuration(self, test, elapsed):
        """Does nothing: durations are made of timestamps."""

    def tags(self, new_tags, gone_tags):
        """Changes the tags of the running test, or of all tests where none is running."""
        self._tags = (self._tags | frozenset(new_tags)) - frozenset(gone_tags)

    @property
    def current_tags(self):
        """The tags as of now."""
        return set(self._tags)

    # How it is done.

    def _report(self, test):
        """Returns the report about a test: that of the request, or of a part of it."""
        self._leave_child()
        request = self._request
        if test is self._test and request is not None:
            return request
        test_id = test_key(test)
        if request is not None and request.test_id == test_id:
            return request
        report = self._parts.get(test_id)
        if report is None:
            whole = self._whole(test)
            report = Report(self._writer, test_id, whole and whole.test_id)
            self._parts[test_id] = report
        return report

    def _whole(self, test):
        """Returns the report about what a test is a part of, if it is a part."""
        if isinstance(test, unittest.case._SubTest):
            return self._report(test.test_case)
        return self._request

    def _add(self, test, status, err, details):
        self._leave_child(err)
        report = self._report(test)
        if err is not None:
            self._add_traceback(report, test, err)
        for name, content in (details or {}).items():
            self._add_detail(report, name, content)
        report.tags = self._tags
        report.add_status(status)
        if report is not self._request and not report.begun:
            self._end_part(report, self._whole(test))

    def _add_traceback(self, report, test, err):
        try:
            text = self._exc_info_to_string(err, test)
        except Exception:
            # Formatting runs code of the test (__str__) and reads files, which may be patched.
            text = "%r\nIts traceback could not be formatted.\n" % (err,)
        report.add_file("traceback", text.encode("utf-8", "backslashreplace"), TRACEBACK_TYPE)

    def _add_detail(self, report, name, content):
        """Attaches one of testtools' details."""
        try:
            octets, mime_type = b"".join(content.iter_bytes()), repr(content.content_type)
        except Exception:
            octets, mime_type = to_wire(traceback.format_exc()), TRACEBACK_TYPE
        report.add_file(name, octets, mime_type)

    def _add_setup_failure(self, holder, err):
        """Reports a class or module fixture that failed. It is a part of no test."""
        self._leave_child(err)
        report = Report(self._writer, to_wire(holder.id()))
        self._add_traceback(report, holder, err)
        report.add_status(FAIL)
        self._end(report)
        if holder.id().startswith("setUp"):
            self.setup_failure = holder.id(), None

    def _end_part(self, report, whole=None):
        self._parts.pop(report.test_id, None)
        self._end(report)
        whole = whole or self._request
        if whole is not None:
            whole.add_status(report.status)

    def _end(self, report):
        self._output.drain()
        report.end()

    def _leave_child(self, err=None):
        """Ends a forked child that comes back out of a test: only the parent goes on from there."""
        if not self._writer.in_child():
            return
        status = 0
        if err is not None and isinstance(err[1], SystemExit):
            code = err[1].code
            status = code if isinstance(code, int) else int(code is not None)
        elif err is not None:
            traceback.print_exception(*err)
            status = 1
        flush(sys.stdout)
        flush(sys.stderr)
        _exit(status & 0xFF)


def test_key(test):
    """Returns a test's id as it stands in packets."""
    return to_wire(test.id() if hasattr(test, "id") else test)


class Fixtures:
    """Class and module fixtures around tests that come one by one.

    What unittest does between the tests of a suite is done here between requests, by unittest's
    own code. A fixture stays set up until a test that doesn't share it is asked for.
    """

    def __init__(self, result):
        self._result = result
        self._suite = unittest.TestSuite()

    def leave(self, test=None):
        """Tears down what this test doesn't share with the one before; None shares nothing."""
        result, suite = self._result, self._suite
        previous = result._previousTestClass
        if previous is None or (test is not None and test.__class__ is previous):
            return
        name = "tearDownClass (%s)" % unittest.util.strclass(previous)
        self._guard(name, suite._tearDownPreviousClass, test, result)
        if test is None or test.__class__.__module__ != previous.__module__:
            name = "tearDownModule (%s)" % previous.__module__
            self._guard(name, suite._handleModuleTearDown, result)
            result._previousTestClass = None
            result._moduleSetUpFailed = False
            result.setup_failure = None

    def enter(self, test):
        """Sets up what this test needs; tells whether anything had to be looked at."""
        result, suite = self._result, self._suite
        current = test.__class__
        if current is result._previousTestClass:
            return False
        if not result._moduleSetUpFailed:
            result.setup_failure = None
        name = "setUpModule (%s)" % current.__module__
        if not self._guard(name, suite._handleModuleFixture, test, result):
            result._moduleSetUpFailed = True
        name = "setUpClass (%s)" % unittest.util.strclass(current)
        if not self._guard(name, suite._handleClassSetUp, test, result):
            current._classSetupFailed = True
        result._previousTestClass = current
        return True

    def _guard(self, name, step, *arguments):
        """Takes a step; what it raises beyond what unittest catches (SystemExit) is its failure."""
        try:
            step(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException:
            self._result.addError(unittest.suite._ErrorHolder(name), sys.exc_info())
            return False
        return True


class Loader(unittest.TestLoader):
    """unittest's loader, which can also tell where a discovery would begin."""

    _place = None
    _locating = False

    def locate(self, start, pattern, top):
        """Does what discovery does before it looks for files, sys.path included.

        Returns start and top-level directory; None for what has more than one place.
        """
        self._locating = True
        try:
            self.discover(start, pattern, top)
        finally:
            self._locating = False
        return self._place

    def set_top(self, directory):
        """Sets the directory that discovery makes module names from."""
        self._top_level_dir = directory

    def _find_tests(self, start_dir, pattern, *namespace):
        if not self._locating:
            return super()._find_tests(start_dir, pattern, *namespace)
        if not any(namespace):
            self._place = start_dir, self._top_level_dir
        return iter(())

    def _find_test_path(self, *arguments, **keywords):
        found = super()._find_test_path(*arguments, **keywords)
        # Discovery takes SIGINT for a module that can't be imported. To catch it before would put
        # a line of the worker into the traceback of every failed import.
        if self.errors and self.errors[-1].rstrip().endswith("\nKeyboardInterrupt"):
            raise KeyboardInterrupt
        return found

    def loadTestsFromModule(self, module, *arguments, **keywords):
        try:
            return super().loadTestsFromModule(module, *arguments, **keywords)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # unittest itself takes what is no Exception, such as SystemExit, for its own end.
            return self.suiteClass((unittest.loader._FailedTest(module.__name__, error),))


class Source:
    """Something that tests are loaded from: a file, a package, a name, a whole discovery."""

    def __init__(self, load, covers=None):
        self.loaded = False
        self._stand_ins = []  # for modules that could not be loaded
        self._alone = False  # a stand-in is all that there is
        self._load = load
        self._covers = covers

    def tests(self):
        """Loads the tests, freshly made each time, in order."""
        tests = list(expand(self._load()))
        self.loaded = True
        self._stand_ins = [test for test in tests if is_stand_in(test)]
        self._alone = len(tests) == 1
        return tests

    def stand_in(self, test_id):
        """Returns what stands in the place of a module that a test of this id would be in."""
        for test in self._stand_ins:
            if self._alone and self.answers_for(test_id):
                return test
            if test_id.startswith(test._testMethodName + "."):
                return test
        return None

    def answers_for(self, test_id):
        """Tells whether this id could only have come from here."""
        return self._covers is None or self._covers(test_id)


def is_stand_in(test):
    """Tells whether a test is what a loader puts in the place of what it could not load."""
    return type(test).__module__ == "unittest.loader"


def is_failure(test):
    """Tells whether a test stands in the place of what could not be loaded."""
    return isinstance(test, unittest.loader._FailedTest)


def expand(test):
    """Yields the tests of a suite."""
    try:
        parts = iter(test)
    except TypeError:
        if test is not None:
            yield test
    else:
        for part in parts:
            yield from expand(part)


def multiply(test):
    """Returns the tests that testscenarios makes of one with scenarios when it is run.

    Made here, each can be asked for. Any other test is returned as it is.
    """
    mixin = getattr(sys.modules.get("testscenarios.testcase"), "WithScenarios", None)
    if mixin is None or not isinstance(test, mixin) or not getattr(test, "scenarios", None):
        return [test]
    try:
        return list(sys.modules["testscenarios.scenarios"].generate_scenarios(test))
    except Exception:
        return [test]  # running it will show what is wrong


class Names:
    """The tests that names on the command line stand for."""

    def __init__(self, loader, names):
        self._loader = loader
        self._sources = [
            (name, Source(functools.partial(self._load, name), covers=self._prefix_test(name)))
            for name in names
        ]

    @staticmethod
    def _prefix_test(name):
        """Returns a function that tells whether an id begins with a name, and not amid a word."""

        def begins(test_id):
            after = test_id[len(name) : len(name) + 1]
            return test_id.startswith(name) and not (after and ("_" + after).isidentifier())

        return begins

    def _load(self, name):
        try:
            return self._loader.loadTestsFromName(name)
        except KeyboardInterrupt:
            raise
        except unittest.SkipTest as skip:
            return unittest.loader._make_skipped_test(name, skip, self._loader.suiteClass)
        except BaseException as error:
            return unittest.loader._FailedTest(name, error)

    def all(self):
        """Returns sources that have all tests between them."""
        return [source for _, source in self._sources]

    def sources_for(self, test_id):
        """Yields sources that may have a test, the likely ones first."""
        likely = [source for _, source in self._sources if source.answers_for(test_id)]
        yield from likely
        yield from (source for source in self.all() if source not in likely)


class Discovery:
    """The tests that discovery finds, file by file."""

    def __init__(self, loader, start, pattern, top):
        self._loader = loader
        self._pattern = pattern
        self._place = loader.locate(start, pattern, top)
        if self._place is None:
            load = functools.partial(loader.discover, start, pattern, top)
        else:
            # Tests may change the working directory, so the places are absolute from here on.
            load = functools.partial(loader.discover, self._place[0], pattern, self._place[1])
        self._everything = Source(load, covers=lambda test_id: False)
        self._sources = {}
        self._closed = set()  # packages that speak for all that is below them

    def all(self):
        """Returns sources that have all tests between them."""
        return [self._everything]

    def sources_for(self, test_id):
        """Yields sources that may have a test: those of its module, then everything.

        The second is for ids that don't tell where they come from, such as those of a class that
        was imported from a module which discovery doesn't look at.
        """
        if self._place is not None:
            for path in self._path_to(test_id):
                yield self._source(path)
                if path in self._closed:
                    break
        yield self._everything

    def _path_to(self, test_id):
        """Returns the packages and the file that discovery passes on its way to a test."""
        for prefix in STAND_IN_PREFIXES:
            if test_id.startswith(prefix):
                test_id = test_id[len(prefix) :]
        start, path = self._place
        found = []
        for part in test_id.split("."):
            if not part.isidentifier():
                break
            path = os.path.join(path, part)
            if os.path.isfile(os.path.join(path, "__init__.py")):
                found.append(path)
                continue
            module = path + ".py"
            if os.path.isfile(module) and self._loader._match_path(
                os.path.basename(module), module, self._pattern
            ):
                found.append(module)
            break
        return [path for path in found if path == start or path.startswith(start + os.sep)]

    def _source(self, path):
        if path not in self._sources:
            self._sources[path] = Source(functools.partial(self._load, path))
        return self._sources[path]

    def _load(self, path):
        self._loader.set_top(self._place[1])
        tests, below = self._loader._find_test_path(path, self._pattern)
        if not below:
            self._closed.add(path)
        return tests


class Catalogue:
    """Finds tests by their ids.

    A test that was given out is forgotten, as unittest's suites do, so that what it holds can be
    freed. Asked for again it is made again.
    """

    def __init__(self, plan, selection):
        self._plan = plan
        self._selection = selection
        self._index = {}  # id: source and test, or source and None when it was given out

    def list(self):
        """Yields ids and tests, in the loader's order."""
        for source in self._plan.all():
            for whole in source.tests():
                for test in multiply(whole):
                    test_id = test_key(test)
                    if self._selected(test_id):
                        yield test_id, test

    def known(self, test_id):
        """Returns a test without importing anything, or None."""
        source, test = self._index.get(test_id, (None, None))
        if source is not None and test is None:
            self._add(source)
            test = self._index[test_id][1]
        if test is not None:
            self._index[test_id] = source, None
        return test

    def find(self, test_id):
        """Returns a test, and loads what has to be loaded for it; None if there is none."""
        if not self._selected(test_id):
            return None
        name = test_id.decode("utf-8", "replace")
        for source in self._plan.sources_for(name):
            if not source.loaded:
                self._add(source)
            test = self.known(test_id)
            if test is None:
                test = source.stand_in(name)
            if test is not None:
                return test
        return None

    def _selected(self, test_id):
        return self._selection is None or test_id in self._selection

    def _add(self, source):
        for whole in source.tests():
            # The whole is not listed, but runners that don't multiply tests put its id on lists.
            for test in [whole] + multiply(whole):
                test_id = test_key(test)
                owner, known = self._index.get(test_id, (source, None))
                if owner is source and known is None:
                    self._index[test_id] = source, test


class Program(unittest.TestProgram):
    """The command line: unittest's own, with the two options that testtools' runner adds."""

    testNamePatterns = None  # Python 3.6 has no -k

    def __init__(self, argv):
        self.list_tests = False
        self.load_list = None
        self.names = self.discovery = None
        super().__init__(module=None, argv=argv, testLoader=self, exit=False)

    def _getParentArgParser(self):
        parser = super()._getParentArgParser()
        parser.add_argument(
            "-l", "--list", dest="list_tests", action="store_true", help="List tests"
        )
        parser.add_argument(
            "--load-list", dest="load_list", metavar="FILE", help="Know no tests but those in FILE"
        )
        return parser

    # unittest thinks that these load tests.

    def loadTestsFromNames(self, names, module=None):
        self.names = names

    def discover(self, start, pattern, top):
        self.discovery = start, pattern, top

    def runTests(self):
        """Does nothing: the command line is all that is wanted of unittest's program."""

    def catalogue(self):
        """Returns the tests that the command line stands for."""
        loader = Loader()
        loader.testNamePatterns = self.testNamePatterns or None
        if self.names is not None:
            plan = Names(loader, self.names)
        else:
            plan = Discovery(loader, *self.discovery)
        selection = None
        if self.load_list is not None:
            with open(self.load_list, "rb") as lines:
                selection = frozenset(line.strip() for line in lines)
        return Catalogue(plan, selection)


class Worker:
    """Runs tests as they are asked for, in the main thread."""

    def __init__(self, catalogue, channel, output, result):
        self._catalogue = catalogue
        self._channel = channel
        self._output = output
        self._result = result
        self._fixtures = Fixtures(result)

    def serve(self, writer):
        """Runs what the channel asks for until there is no more, and tears down."""
        while not writer.broken:
            test_id = self._channel.next()
            if test_id is None:
                break
            self._run(test_id)
            self._output.repair()
        self._fixtures.leave()
        self._output.drain()

    def _run(self, test_id):
        test = self._catalogue.known(test_id)
        # A fixture that hangs or fails while it is torn down is not the next test's fault.
        self._fixtures.leave(test)
        found = test is not None and not is_failure(test)
        self._result.open(test_id, found)
        if test is None:
            test = self._catalogue.find(test_id)
        if test is None:
            self._result.fail("unknown-test", "There is no test of this id here.\n")
        elif is_failure(test):
            self._run_stand_in(test, test_id)
        else:
            self._result.accept()
            prepared = self._fixtures.enter(test) or not found
            self._run_prepared(test, prepared)
        self._result.close()

    def _run_stand_in(self, test, test_id):
        """Answers for a test whose module could not be loaded, or for what stands for that."""
        if test_key(test) == test_id:
            self._result.run(test)
        else:
            self._result.report_stand_in(test)
            self._result.keep_from_running(test.id())

    def _run_prepared(self, test, prepared):
        failure = self._result.setup_failure
        if failure is None:
            if prepared:
                self._result.begin_again()
            self._result.run(test)
        elif failure[1] is None:
            self._result.keep_from_running(failure[0])
        else:
            self._result.skip(failure[1])


def list_tests(catalogue, writer, result):
    """Writes a packet for each test. A module that could not be imported is a failure."""
    for test_id, test in catalogue.list():
        if is_failure(test):
            result.report_stand_in(test)
        else:
            writer.write(status=EXISTS, test_id=test_id, runnable=True)


def prepare_interpreter(runner, arguments):
    """Makes sys and warnings what they would be had the runner been started with -m."""
    isolated = sys.flags.isolated or getattr(sys.flags, "safe_path", False)
    if not isolated:
        sys.path[0] = os.getcwd()
    sys.argv = ["%s -m %s" % (os.path.basename(sys.executable or "python"), runner)] + arguments
    if runner == "unittest" and not sys.warnoptions:
        warnings.simplefilter("default")
    # The worker's threads wait in system calls and hold nothing that a forked child needs.
    message = ".*multi-threaded, use of fork"
    warnings.filterwarnings("ignore", message, DeprecationWarning)


def show_stacks_at_sigterm():
    """Has SIGTERM write where all threads stand before it does what it would have done.

    It is C code that does so: it needs no interpreter that can still run. Tests see no difference:
    to Python's signal module the handler is the default one, and child processes have that again.
    """
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    if not hasattr(os, "register_at_fork"):
        return  # in Python 3.6 children would write their stacks, too
    try:
        # A descriptor of its own: tests redirect, close and capture the second one.
        faulthandler.register(signal.SIGTERM, file=duplicate(2), all_threads=True, chain=True)
    except (OSError, AttributeError):
        return  # standard error is closed, or this is no system for it
    current, default = functools.partial(signal.getsignal, signal.SIGTERM), signal.SIG_DFL
    restore = functools.partial(faulthandler.unregister, signal.SIGTERM)

    def after_in_child():
        if current() is default:  # not what a test has set since
            restore()

    os.register_at_fork(after_in_child=after_in_child)


def run_worker(program, channel, output, writer):
    """Lists or serves the channel, a descriptor; returns the process's exit status."""
    result = Result(writer, output, program)
    try:
        if program.list_tests:
            list_tests(program.catalogue(), writer, result)
        else:
            requests = Channel(channel, writer)
            Worker(program.catalogue(), requests, output, result).serve(writer)
    except KeyboardInterrupt:
        traceback.print_exc()
        return 130
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        output.drain()
    return int(writer.broken)


def finish(writer, output, status):
    """Ends the process in the place of an interpreter that would wait for all threads.

    Tests leave threads behind that never end. What was registered with atexit is still called.
    """
    if writer.in_child():
        return
    atexit._run_exitfuncs()
    output.drain()
    flush(sys.stdout)
    flush(sys.stderr)
    _exit(status)


def main(argv):
    """Runs the worker: argv is that of the process."""
    if len(argv) < 3 or argv[1] != "--runner":
        sys.exit("usage: testr_worker.py --runner NAME [ARGUMENTS] [--list]")
    prepare_interpreter(argv[2], argv[3:])
    program = Program(sys.argv)
    channel = duplicate(0)
    writer = PacketWriter(duplicate(1))
    show_stacks_at_sigterm()
    output = Output(writer)
    status = run_worker(program, channel, output, writer)
    # Leaving by SystemExit lets whoever runs this file (coverage run) finish its own work. The
    # interpreter calls threading's function next, to wait for threads.
    threading._shutdown = functools.partial(finish, writer, output, status)
    sys.exit(status)


if __name__ == "__main__":
    main(sys.argv)
