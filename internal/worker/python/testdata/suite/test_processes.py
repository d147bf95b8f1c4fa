import multiprocessing
import os
import signal
import subprocess
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

    def test_hangs(self, ready=2):
        thread = threading.Thread(target=hang_beside, daemon=True)
        thread.start()
        while sys._current_frames()[thread.ident].f_code.co_name != "wait":
            os.sched_yield()
        os.write(ready, b"ready\n")
        threading.Event().wait()

    def test_hangs_deaf(self):
        """Standard error is captured, as many tests do."""
        ready = os.dup(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        self.test_hangs(ready)


def hang_beside():
    threading.Event().wait()


def hang(ready):
    ready.set()
    threading.Event().wait()


class Sigterm(unittest.TestCase):
    def test_default(self):
        self.assertIs(signal.getsignal(signal.SIGTERM), signal.SIG_DFL)

    def fork(self):
        """Forks a child that waits; returns its number when it is ready."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writer, b"x")
            signal.pause()
            os._exit(3)
        os.read(reader, 1)
        return pid

    def test_forked(self):
        pid = self.fork()
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(os.waitpid(pid, 0)[1], signal.SIGTERM)

    def test_multiprocessing(self):
        for method in "fork", "spawn":
            context = multiprocessing.get_context(method)
            ready = context.Event()
            process = context.Process(target=hang, args=(ready,))
            process.start()
            ready.wait()
            process.terminate()
            process.join()
            self.assertEqual(process.exitcode, -signal.SIGTERM)

    def test_executed(self):
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        with process.stdin:
            process.terminate()
            self.assertEqual(process.wait(), -signal.SIGTERM)

    def test_handled_in_child(self):
        self.addCleanup(signal.signal, signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(5))
        pid = self.fork()
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(os.waitpid(pid, 0)[1] >> 8, 5)
