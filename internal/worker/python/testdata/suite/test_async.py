import unittest

if hasattr(unittest, "IsolatedAsyncioTestCase"):

    class Async(unittest.IsolatedAsyncioTestCase):
        async def asyncSetUp(self):
            self.ready = True

        async def test_ready(self):
            self.assertTrue(self.ready)

        async def test_fails(self):
            self.fail("asynchronously")
