import sys
import time
import unittest


class Input(unittest.TestCase):
    def test_line(self):
        self.assertEqual(sys.stdin.readline(), "an answer\n")

    def test_all(self):
        self.assertEqual(sys.stdin.read(), "")

    def test_prompt(self):
        self.assertEqual(input("(Pdb) "), "continue")

    def test_frozen_clock(self):
        self.addCleanup(setattr, time, "time_ns", getattr(time, "time_ns", None))
        time.time_ns = lambda: 0
