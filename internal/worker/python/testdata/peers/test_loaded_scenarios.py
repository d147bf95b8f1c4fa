import unittest

from testscenarios import load_tests_apply_scenarios

load_tests = load_tests_apply_scenarios


class AtLoading(unittest.TestCase):
    scenarios = [("red", {}), ("green", {})]

    def test_colour(self):
        pass
