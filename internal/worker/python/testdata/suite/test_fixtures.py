import unittest


def setUpModule():
    print("setUpModule")


def tearDownModule():
    print("tearDownModule")


class Printing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        print("setUpClass", cls.__name__)

    @classmethod
    def tearDownClass(cls):
        print("tearDownClass", cls.__name__)


class A(Printing):
    def test_1(self):
        print("A.test_1")

    def test_2(self):
        print("A.test_2")


class B(Printing):
    def test_1(self):
        print("B.test_1")


class CleansUp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(print, "class cleanup")

    def test_1(self):
        pass
