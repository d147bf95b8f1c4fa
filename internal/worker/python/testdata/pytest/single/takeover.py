"""A plugin that does what those do that run tests elsewhere, by the options of one of them."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--numprocesses", type=int)
    parser.addoption("--dist", default="no")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    if config.option.numprocesses:
        config.option.dist = "load"


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    if config.option.dist != "no":
        raise pytest.UsageError("the tests run elsewhere")
