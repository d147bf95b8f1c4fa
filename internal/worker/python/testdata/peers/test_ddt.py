import unittest

import ddt


@ddt.ddt
class Data(unittest.TestCase):
    @ddt.data("apple", "pear")
    def test_fruit(self, fruit):
        self.assertEqual(fruit, "apple")
