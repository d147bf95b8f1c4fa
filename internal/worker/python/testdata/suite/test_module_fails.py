import unittest


def setUpModule():
    raise RuntimeError("no network")


class A(unittest.TestCase):
    def test_1(self):
        pass


class B(unittest.TestCase):
    def test_1(self):
        pass
