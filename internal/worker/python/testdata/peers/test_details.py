import sys
import unittest

import testtools
from testtools.content import Content, text_content
from testtools.content_type import ContentType


class Details(testtools.TestCase):
    def test_attachment(self):
        content_type = ContentType("application", "octet-stream")
        self.addDetail("dump", Content(content_type, lambda: [b"\x00", b"\xb3"]))

    def test_failure(self):
        self.addDetail("log", text_content("what happened"))
        self.fail("with a log")

    def test_skip(self):
        self.skipTest("for a reason")

    def test_two_errors(self):
        self.addCleanup(int, "no number")
        self.fail("first")

    def test_expect_failure(self):
        self.expectFailure("known", self.assertEqual, 1, 2)

    def test_exit(self):
        sys.exit(3)

    def test_broken_detail(self):
        self.addDetail("broken", Content(ContentType("a", "b"), lambda: [None]))


def placeholders():
    try:
        raise ValueError("held")
    except ValueError:
        holder = testtools.ErrorHolder("holder", sys.exc_info())
    return unittest.TestSuite([testtools.PlaceHolder("tagged", tags={"slow", "net"}), holder])
