import unittest

from loading import cases


def load_tests(loader, tests, pattern):
    suite = unittest.TestSuite()
    for name in "one", "two":
        suite.addTest(cases.Case(name))
    return suite
