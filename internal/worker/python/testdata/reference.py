"""Runs tests as `python -m unittest ARGUMENTS` does; prints a line of JSON for each outcome."""

import json
import sys
import unittest

lines = sys.stdout
sys.stdout = sys.stderr


class Recording(unittest.TextTestResult):
    def addSuccess(self, test):
        self.record(test, "success")

    def addFailure(self, test, err):
        self.record(test, "fail")

    addError = addFailure

    def addSkip(self, test, reason):
        self.record(test, "skip")

    def addExpectedFailure(self, test, err):
        self.record(test, "xfail")

    def addUnexpectedSuccess(self, test):
        self.record(test, "uxsuccess")

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.record(test, "fail")

    def record(self, test, status):
        lines.write(json.dumps([test.id(), status]) + "\n")


runner = unittest.TextTestRunner(resultclass=Recording)
unittest.main(module=None, testRunner=runner, exit=False)
