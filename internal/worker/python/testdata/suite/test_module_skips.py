import unittest


def setUpModule():
    raise unittest.SkipTest("no such device")


class A(unittest.TestCase):
    def test_1(self):
        pass


class B(A):
    pass
