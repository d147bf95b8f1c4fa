import unittest


class Fails(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise RuntimeError("no database")

    def test_1(self):
        pass

    def test_2(self):
        pass


class Skips(Fails):
    @classmethod
    def setUpClass(cls):
        raise unittest.SkipTest("no such system")


class Exits(Fails):
    @classmethod
    def setUpClass(cls):
        raise SystemExit(1)


class TearDownFails(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        raise RuntimeError("still busy")

    def test_1(self):
        pass
