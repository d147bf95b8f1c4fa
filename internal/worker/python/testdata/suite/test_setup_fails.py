import unittest


class Fails(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        print("trying")
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


class Below(Fails):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()


@unittest.skip("has no fixture")
class Skipped(Fails):
    pass


class TearDown(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        print("tearDownClass")

    def test_1(self):
        pass


class TearDownFails(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        raise RuntimeError("still busy")

    def test_1(self):
        pass
