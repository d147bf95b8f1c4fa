"""Runs unittest's own runner, as python3 -m unittest would, with a line for each
outcome on stdout: the status as subunit has it, and the id of the test.
"""

import sys
import unittest

NAMES = {
    "addSuccess": "success",
    "addError": "fail",
    "addFailure": "fail",
    "addSkip": "skip",
    "addExpectedFailure": "xfail",
    "addUnexpectedSuccess": "uxsuccess",
}

OUT = sys.stdout


class Result(unittest.TextTestResult):
    def _say(self, name, test):
        print(NAMES[name], test.id(), file=OUT, flush=True)


def _add(name):
    original = getattr(unittest.TextTestResult, name)

    def add(self, test, *args):
        self._say(name, test)
        return original(self, test, *args)

    return add


for _name in NAMES:
    setattr(Result, _name, _add(_name))


class Runner(unittest.TextTestRunner):
    resultclass = Result


unittest.main(module=None, argv=["python3 -m unittest", *sys.argv[1:]], testRunner=Runner)
