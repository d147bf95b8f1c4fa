"""Turns a subunit stream into lines of JSON with python-subunit, and back.

    packets.py read < stream > events        packets.py write < events > stream
"""
import base64
import datetime
import json
import sys

import subunit
import testtools

UTC = datetime.timezone.utc


class Lines(testtools.StreamResult):

    def status(self, test_id=None, test_status=None, test_tags=None, runnable=True, file_name=None,
               file_bytes=None, eof=False, mime_type=None, route_code=None, timestamp=None):
        event = {
            "test_id": test_id, "test_status": test_status, "runnable": runnable,
            "test_tags": None if test_tags is None else sorted(test_tags),
            "file_name": file_name, "eof": eof, "mime_type": mime_type, "route_code": route_code,
            "file_bytes": None if file_bytes is None else base64.b64encode(file_bytes).decode("ascii"),
        }
        if timestamp is not None:
            event["timestamp"] = timestamp.strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        sys.stdout.write(json.dumps({k: v for k, v in event.items() if v is not None}) + "\n")


def write():
    out = subunit.StreamResultToBytes(sys.stdout.buffer)
    for line in sys.stdin.buffer:
        event = json.loads(line)
        if "file_bytes" in event:
            event["file_bytes"] = base64.b64decode(event["file_bytes"])
        if "timestamp" in event:
            event["timestamp"] = datetime.datetime.strptime(
                event["timestamp"], "%Y-%m-%dT%H:%M:%S.%f000Z").replace(tzinfo=UTC)
        out.status(**event)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write()
    else:
        subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="stdout").run(Lines())
