import unittest


class Case(unittest.TestCase):
    def __init__(self, name):
        super().__init__("runTest")
        self.name = name

    def runTest(self):
        pass

    def id(self):
        return "loading.cases.Case.runTest(%s)" % self.name
