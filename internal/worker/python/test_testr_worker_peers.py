"""Tests of the streaming worker with the libraries that people use on top of unittest.

They need testtools, testscenarios and ddt.
"""

import os

import test_testr_worker

PEERS = os.path.join(test_testr_worker.HERE, "testdata", "peers")


class Peers(test_testr_worker.WorkerTestCase):
    def start(self, *arguments, **keywords):
        keywords.setdefault("cwd", PEERS)
        return super().start(*arguments, **keywords)

    def listed(self, pattern):
        process = self.start("discover", "-p", pattern, "--list").finish()
        return [p.test_id for p in process.packets if p.status == "exists"]

    def test_scenarios_multiplied_at_run_time(self):
        prefix = "test_scenarios.AtRunTime.test_number"
        multiplied = [prefix + "(one)", prefix + "(two)"]
        self.assertEqual(
            self.listed("test_scenarios.py"), multiplied + ["test_scenarios.Plain.test_plain"]
        )
        process = self.run_tests(*multiplied)
        self.assertEqual(process.outcomes(), [(multiplied[0], "success"), (multiplied[1], "fail")])

    def test_scenarios_asked_for_without_their_names(self):
        """Lists of other tools have the id that stands for all of them."""
        test_id = "test_scenarios.AtRunTime.test_number"
        process = self.run_tests(test_id)
        expected = [(test_id + "(one)", "success"), (test_id + "(two)", "fail"), (test_id, "fail")]
        self.assertEqual(process.outcomes(), expected)
        parts = [p for p in process.packets if p.status and p.test_id != test_id]
        self.assertEqual({(p.parent, p.runnable) for p in parts}, {(test_id, False)})

    def test_scenarios_multiplied_by_load_tests(self):
        prefix = "test_loaded_scenarios.AtLoading.test_colour"
        test_ids = [prefix + "(red)", prefix + "(green)"]
        self.assertEqual(self.listed("test_loaded*.py"), test_ids)
        process = self.run_tests(*reversed(test_ids))
        self.assertEqual([status for _, status in process.outcomes()], ["success"] * 2)

    def test_ddt(self):
        test_ids = self.listed("test_ddt.py")
        self.assertEqual(len(test_ids), 2)
        process = self.run_tests(*test_ids)
        self.assertEqual([status for _, status in process.outcomes()], ["success", "fail"])

    def test_attachment(self):
        process = self.assert_outcome("test_details.Details.test_attachment", "success")
        [dump] = [p for p in process.packets if p.name == "dump"]
        self.assertEqual((dump.mime, dump.content), ("application/octet-stream", b"\x00\xb3"))

    def test_details_of_outcomes(self):
        for name, status, file, expected in [
            ("failure", "fail", "log", "what happened"),
            ("failure", "fail", "traceback", "AssertionError: with a log"),
            ("skip", "skip", "reason", "for a reason"),
            ("two_errors", "fail", "traceback-1", "no number"),
            ("expect_failure", "xfail", "reason", "known"),
            ("exit", "fail", "traceback", "SystemExit: 3"),
            ("broken_detail", "success", "broken", "Traceback"),
        ]:
            test_id = "test_details.Details.test_" + name
            process = self.assert_outcome(test_id, status)
            self.assertIn(expected, process.file(test_id, file), (name, file))

    def test_placeholders(self):
        arguments = ["test_details.placeholders"]
        process = self.run_tests("holder", "tagged", arguments=arguments)
        self.assertEqual(process.outcomes(), [("holder", "fail"), ("tagged", "success")])
        self.assertIn("ValueError: held", process.file("holder", "traceback"))
        tags = [p.tags for p in process.packets if p.status == "success"]
        self.assertEqual(tags, [["net", "slow"]])


if __name__ == "__main__":
    test_testr_worker.unittest.main()
