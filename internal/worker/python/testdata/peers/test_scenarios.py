import testscenarios
import testtools


class AtRunTime(testscenarios.WithScenarios, testtools.TestCase):
    scenarios = [("one", {"number": 1}), ("two", {"number": 2})]

    def test_number(self):
        self.assertEqual(1, self.number)


class Plain(testtools.TestCase):
    scenarios = None

    def test_plain(self):
        pass
