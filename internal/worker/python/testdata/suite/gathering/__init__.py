import os


def load_tests(loader, tests, pattern):
    here = os.path.dirname(__file__)
    tests.addTests(loader.discover(here, "[bg]*.py", os.path.dirname(here)))
    return tests
