import os
import subprocess
import sys
import threading
import warnings

import pytest

OCTETS = b"\xb3\x29\x00\x00 no packet \xb3"


def test_octets():
    os.write(1, OCTETS)
    subprocess.run(["printf", r"from a process\263\n"], check=True)


def test_close():
    os.close(1)


def test_close_object():
    sys.__stdout__.close()


def test_replace():
    sys.stdout = None


def test_after():
    print("still here")


def test_input():
    assert sys.stdin.readline() == "an answer\n"
    assert sys.stdin.read() == ""


def test_fork():
    child = os.fork()
    if child == 0:
        raise ValueError("in the child")
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 1


def test_fork_warning():
    # As Python 3.12 says it, for the worker's threads.
    message = "This process is multi-threaded, use of fork() may lead to deadlocks in the child."
    warnings.warn(message, DeprecationWarning)


@pytest.fixture(scope="module")
def warns_late():
    yield
    warnings.warn("beware")


def test_warning_late(warns_late):
    pass


def test_exit():
    pytest.exit("enough")


def test_interrupt():
    raise KeyboardInterrupt


def test_environment():
    print(os.environ.get("PYTHONPATH"), [path for path in sys.path if "testr" in path])


def test_hangs():
    open(os.environ["READY"], "w").close()  # a named pipe
    threading.Event().wait()
