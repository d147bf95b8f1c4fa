import sys
import unittest


class Outcomes(unittest.TestCase):
    def test_success(self):
        pass

    def test_failure(self):
        self.assertEqual(1, 2)

    def test_error(self):
        raise ValueError("an error")

    @unittest.skip("not today")
    def test_skip(self):
        pass

    @unittest.expectedFailure
    def test_expected_failure(self):
        self.fail("as expected")

    @unittest.expectedFailure
    def test_unexpected_success(self):
        pass

    def test_exit(self):
        sys.exit(3)

    def test_generator_exit(self):
        raise GeneratorExit

    def test_failure_and_error(self):
        self.addCleanup(int, "no number")
        self.fail("first")


class Parts(unittest.TestCase):
    def test_parts(self):
        for i in range(3):
            with self.subTest(i=i):
                self.assertNotEqual(i, 1)

    def test_skipped_part(self):
        for i in range(2):
            with self.subTest(i=i):
                if i:
                    self.skipTest("odd")


class Silent(unittest.TestCase):
    def run(self, result=None):
        pass

    def test_says_nothing(self):
        pass


class Oddity(unittest.TestCase):
    """A test with any id."""

    def __init__(self, name="runTest"):
        super().__init__("runTest")
        self.name = name

    def runTest(self):
        pass

    def id(self):
        return "test_outcomes.Oddity." + self.name


def load_tests(loader, tests, pattern):
    suite = unittest.TestSuite()
    for case in Outcomes, Parts, Silent:
        suite.addTests(loader.loadTestsFromTestCase(case))
    names = ["two\nlines", 'it\'s "quoted"', "$(false) `x`", "a\0b", "\udc80", "h\u00e9 \U0001f40d"]
    suite.addTests(Oddity(name) for name in names + ["twice", "twice"])
    return suite
