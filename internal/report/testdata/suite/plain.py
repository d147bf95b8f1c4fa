"""Tests of plain unittest, which knows neither details nor testtools."""

import sys
import unittest


class TestPlain(unittest.TestCase):

    def test_fail(self):
        self.assertEqual('a\nb\n', 'a\nc\n')

    def test_pass(self):
        sys.stderr.write('to stderr\n')

    def test_subtests(self):
        for i in range(3):
            with self.subTest(i=i):
                self.assertEqual(i % 2, 0)

    @unittest.skip('not today')
    def test_skip(self):
        pass
