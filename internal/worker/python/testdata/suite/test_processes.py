import multiprocessing
import os
import sys
import threading
import unittest


def answer(queue):
    print("in the spawned process")
    queue.put((42, sys.argv[0]))


class Processes(unittest.TestCase):
    def fork(self, child):
        pid = os.fork()
        if pid == 0:
            child()
            return 0
        return os.waitpid(pid, 0)[1] >> 8

    def test_fork_and_exit(self):
        self.assertEqual(self.fork(lambda: sys.exit(5)), 5)

    def test_fork_and_return(self):
        self.assertEqual(self.fork(lambda: None), 0)

    def test_fork_and_raise(self):
        self.assertEqual(self.fork(lambda: int("no number")), 1)

    def test_fork_and_print(self):
        def child():
            print("in the child")
            sys.stdout.flush()
            os._exit(0)

        self.assertEqual(self.fork(child), 0)

    def test_spawn(self):
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        process = context.Process(target=answer, args=(queue,))
        process.start()
        self.assertEqual(queue.get(timeout=60)[0], 42)
        process.join()
        self.assertEqual(process.exitcode, 0)

    def test_dies(self):
        os._exit(7)

    def test_leaves_thread(self):
        threading.Thread(target=threading.Event().wait).start()

    def test_interrupted(self):
        raise KeyboardInterrupt
