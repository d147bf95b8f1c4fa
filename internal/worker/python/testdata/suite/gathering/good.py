import unittest


class Good(unittest.TestCase):
    def test_1(self):
        pass
