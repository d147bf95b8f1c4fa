"""A plugin with subtests: reports of the kind that pytest-subtests and pytest 9 make."""

import copy

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        for part in "failed", "passed":
            part_report = copy.copy(report)
            part_report.outcome = part
            part_report.longrepr = "what is wrong" if part == "failed" else None
            part_report.sections = [("Captured stdout call", part)]
            part_report.sub_test_description = lambda part=part: "(part=%r)" % part
            item.ihook.pytest_runtest_logreport(report=part_report)
