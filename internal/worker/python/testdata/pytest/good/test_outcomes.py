import logging
import sys
import unittest
import warnings

import pytest


def test_passes():
    print("all is well")


def test_fails():
    print("out")
    print("err", file=sys.stderr)
    logging.warning("logged")
    assert 1 == 2


@pytest.mark.skip(reason="for a reason")
def test_skip_mark():
    pass


def test_skip():
    pytest.skip("at run time")


@pytest.mark.xfail(reason="known")
def test_xfail():
    assert False


@pytest.mark.xfail(reason="known", run=False)
def test_xfail_not_run():
    assert False


def test_xfail_call():
    pytest.xfail("at run time")


@pytest.mark.xfail(reason="outdated")
def test_xpass():
    pass


@pytest.mark.xfail(reason="outdated", strict=True)
def test_xpass_strict():
    pass


@pytest.fixture
def fails():
    raise ValueError("no set-up")


@pytest.fixture
def fails_after():
    yield
    print("about to fail")
    raise ValueError("no tear-down")


@pytest.fixture
def skips():
    pytest.skip("in a fixture")


def test_setup(fails):
    pass


def test_teardown(fails_after):
    pass


def test_both(fails_after):
    assert False


@pytest.mark.xfail(reason="known")
def test_xfail_teardown(fails_after):
    assert False


def test_fixture_skips(skips):
    pass


def test_unknown_fixture(nobody_has_it):
    pass


def test_exits():
    sys.exit(3)


def test_warns():
    warnings.warn("beware")


class Case(unittest.TestCase):
    @unittest.skip("for a reason")
    def test_skip(self):
        pass

    @unittest.expectedFailure
    def test_xfail(self):
        self.fail()

    @unittest.expectedFailure
    def test_xpass(self):
        pass

    def test_error(self):
        raise OSError


class CaseWithout(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise ValueError("no class")

    def test_1(self):
        pass

    def test_2(self):
        pass
