"""Messages: one line each, refused when they are not exactly ours."""

from __future__ import annotations

import pytest

from backend.bridge import messages
from backend.bridge.messages import MessageError, decode, encode

EXAMPLES = [
    messages.Run("/jobs/Ünï \n 1"),
    messages.Measure("/jobs/1", ""),
    messages.SuggestKeys("/jobs/1", 6),
    messages.Retouch("/jobs/1"),
    messages.Preview("/jobs/1", "/jobs/2/shot"),
    messages.Cancel("/jobs/1"),
    messages.Hello(1, "0.1.0", "cpu"),
    messages.Heartbeat(),
    messages.Started("j"),
    messages.Progress("j", 1, 2, "paint"),
    messages.Frame("j", -3, "frames/-00003.png"),
    messages.Picture("j", "preview.png"),
    messages.Ended("j", "done", ""),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_is_one_line_and_comes_back_equal(message: messages.Message) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode(line) == message


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello\n",
        b"[]\n",
        b'{"type": "explode"}\n',
        b'{"type": "run"}\n',
        b'{"type": "run", "job": 3}\n',
        b'{"type": "run", "job": "j", "more": 1}\n',
        b'{"type": "frame", "job": "j", "frame": true, "path": "p"}\n',
        b'{"type": "run", "job": "' + b"x" * messages.MAX_LINE + b'"}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(MessageError):
        decode(line)
