"""A worker that writes between its packets, and then dies in a test."""

import os
import sys

import testtools


class TestDies(testtools.TestCase):

    def test_a_noise(self):
        print('noise on stdout: \x1b[31mred\x1b[0m')

    def test_b_fail(self):
        self.fail('first')

    def test_c_dies(self):
        sys.stdout.flush()
        os._exit(7)

    def test_d_never(self):
        pass
