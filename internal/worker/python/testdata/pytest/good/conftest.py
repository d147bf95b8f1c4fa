import os

import pytest

print("conftest speaks")


def note(*words):
    if "TRACE" in os.environ:
        with open(os.environ["TRACE"], "a") as trace:
            print(*words, file=trace)


@pytest.fixture(scope="session")
def session():
    note("session up")
    yield
    note("session down")


@pytest.fixture(scope="package")
def package(session):
    note("package up")
    yield
    note("package down")


@pytest.fixture(scope="module")
def module(session, request):
    note("module up", request.module.__name__)
    yield
    note("module down", request.module.__name__)


@pytest.fixture(scope="module", params=["one", "two"])
def number(request):
    note("number up", request.param)
    yield request.param
    note("number down", request.param)


@pytest.fixture(scope="class")
def group(module, request):
    note("class up", request.cls.__name__)
    yield
    note("class down", request.cls.__name__)


@pytest.fixture(autouse=True)
def around(request):
    note("test up", request.node.name)
    yield
    note("test down", request.node.name)
