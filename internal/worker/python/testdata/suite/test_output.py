import os
import subprocess
import sys
import unittest


class Output(unittest.TestCase):
    def test_print(self):
        print("printed")

    def test_partial_line(self):
        sys.stdout.write("no newline")

    def test_stderr(self):
        print("to stderr", file=sys.stderr)

    def test_descriptor(self):
        os.write(1, b"from the descriptor\n")

    def test_subprocess(self):
        print("before")
        subprocess.check_call(["echo", "from a subprocess"])
        print("after")

    def test_much(self):
        for _ in range(3000):
            print("x" * 999)

    def test_signature(self):
        os.write(1, b"\xb3\x29\x01\x0c")

    def test_close_descriptor(self):
        os.close(1)

    def test_close_stdout(self):
        sys.stdout.close()

    def test_replace_stdout(self):
        sys.stdout = None

    def test_fails(self):
        print("a clue")
        self.fail("look at the output")


class Attachments(unittest.TestCase):
    def test_huge_message(self):
        self.fail("y" * 5000000)
