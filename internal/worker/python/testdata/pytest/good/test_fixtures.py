import unittest

import pytest
from conftest import note


def setup_module():
    note("setup_module")


def teardown_module():
    note("teardown_module")


def test_module(module):
    pass


class TestGroup:
    @classmethod
    def setup_class(cls):
        note("setup_class")

    def setup_method(self):
        note("setup_method")

    def test_1(self, group):
        pass

    @pytest.mark.slow
    def test_2(self, group, number):
        pass

    def test_3(self, group):
        pass


def test_number(number):
    assert number == "one"


def test_number_again(number, module):
    pass


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        note("setUpClass")

    @classmethod
    def tearDownClass(cls):
        note("tearDownClass")

    def test_1(self):
        pass

    def test_2(self):
        self.fail()
