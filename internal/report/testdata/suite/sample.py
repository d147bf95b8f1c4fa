"""Tests of every outcome, with every kind of file, for the golden files.

Recorded in a copy of this directory, so that the paths in the tracebacks are
nobody's own:

    cp -r suite /tmp/sample && cd /tmp/sample
    for s in sample plain dies; do python3 -m subunit.run $s > $s.subunit; done
"""

import logging

import fixtures
import testtools
from testtools.content import Content, text_content
from testtools.content_type import ContentType, UTF8_TEXT


class TestOutcomes(testtools.TestCase):

    def test_fail(self):
        self.assertEqual(1, 2)

    def test_error(self):
        raise RuntimeError('two\nlines')

    def test_long_difference(self):
        self.assertThat(list(range(40)), testtools.matchers.Equals(list(range(39))))

    def test_pass(self):
        self.addDetail('log', text_content('nobody sees this'))

    def test_skip(self):
        self.skipTest('no database')

    def test_expected_failure(self):
        self.expectFailure('known', self.assertEqual, 1, 2)


class TestFiles(testtools.TestCase):

    def test_texts(self):
        self.addDetail('one line', text_content('caf\u00e9'))
        self.addDetail('lines', text_content('\n  one\n  two\n\n'))
        self.addDetail('blank', text_content(' \n'))
        self.addDetail('zz', text_content('after traceback by name'))
        self.fail('with texts')

    def test_binaries(self):
        self.addDetail('picture', Content(ContentType('image', 'png', {'x': 'y', 'a': 'b'}), lambda: [b'\x89PNG']))
        self.addDetail('dump', Content(ContentType('application', 'octet-stream'), lambda: [b'\0\1\2']))
        self.addDetail('blank', text_content('\t'))
        self.fail('with binaries')

    def test_latin1(self):
        self.addDetail('latin', Content(ContentType('text', 'plain', {'charset': 'ISO-8859-1'}), lambda: [b'caf\xe9']))
        self.addDetail('unnamed', Content(ContentType('text', 'plain'), lambda: [b'caf\xe9']))
        self.fail('with Latin-1')

    def test_pieces(self):
        self.addDetail('pieces', Content(UTF8_TEXT, lambda: [b'caf\xc3', b'\xa9\n', b'rest']))
        self.fail('with pieces')

    def test_log(self):
        self.useFixture(fixtures.FakeLogger())
        logging.info('first')
        logging.info('second')
        self.fail('with a log')


class TestHostile(testtools.TestCase):

    def test_terminal(self):
        self.addDetail('\x1b[2Jname', text_content('\x1b]0;title\x07'))
        self.fail('\x1b]52;c;cm0gLXJmIH4K\x07 \u202egnp.exe \u009b31m \u200b.')
