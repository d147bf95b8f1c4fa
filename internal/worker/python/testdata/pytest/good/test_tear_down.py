import pytest


@pytest.fixture(scope="module")
def module_fails():
    yield
    print("module about to fail")
    raise ValueError("module still busy")


@pytest.fixture(scope="class")
def class_fails(module_fails):
    yield
    raise SystemExit("class still busy")


class TestBusy:
    def test_1(self, class_fails):
        pass

    def test_2(self, class_fails):
        pass


def test_last(module_fails):
    pass
