"""Drops a file onto a window, as a file manager does: the source's side of the protocol XDND, version 5.

Run ``python drop.py FILE X Y`` with DISPLAY set: FILE is dropped where the screen has X, Y. The protocol is at
https://freedesktop.org/wiki/Specifications/XDND.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
import time
from pathlib import Path

VERSION, COPY = 5, b"XdndActionCopy"
CLIENT_MESSAGE, SELECTION_REQUEST, SELECTION_NOTIFY = 33, 30, 31  # types of events, from X.h
ATOM, PROP_MODE_REPLACE, ANY_TYPE = 4, 0, 0
PATIENCE = 20.0

Long, Window, Atom = ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong


class ClientMessage(ctypes.Structure):
    """A message between clients, ``XClientMessageEvent``."""

    _fields_ = (
        ("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int), ("display", ctypes.c_void_p),
        ("window", Window), ("message_type", Atom), ("format", ctypes.c_int), ("data", Long * 5),
    )  # fmt: skip


class SelectionRequest(ctypes.Structure):
    """Somebody wants what is dragged, ``XSelectionRequestEvent``."""

    _fields_ = (
        ("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int), ("display", ctypes.c_void_p),
        ("owner", Window), ("requestor", Window), ("selection", Atom), ("target", Atom), ("property", Atom),
        ("time", ctypes.c_ulong),
    )  # fmt: skip


class SelectionNotify(ctypes.Structure):
    """The answer to it, ``XSelectionEvent``."""

    _fields_ = (
        ("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int), ("display", ctypes.c_void_p),
        ("requestor", Window), ("selection", Atom), ("target", Atom), ("property", Atom), ("time", ctypes.c_ulong),
    )  # fmt: skip


class Event(ctypes.Union):
    """Any event, ``XEvent``."""

    _fields_ = (
        ("type", ctypes.c_int), ("client", ClientMessage), ("request", SelectionRequest), ("notify", SelectionNotify),
        ("pad", Long * 24),
    )  # fmt: skip


class Drag:
    """What is dragged from a window of our own."""

    def __init__(self, file: Path) -> None:
        self._x = ctypes.CDLL(ctypes.util.find_library("X11"))
        self._x.XOpenDisplay.restype = ctypes.c_void_p
        for name in ("XDefaultRootWindow", "XCreateSimpleWindow", "XInternAtom"):
            getattr(self._x, name).restype = ctypes.c_ulong
        self._display = ctypes.c_void_p(self._x.XOpenDisplay(None))
        self._root = Window(self._x.XDefaultRootWindow(self._display))
        self._source = self._x.XCreateSimpleWindow(self._display, self._root, 0, 0, 1, 1, 0, Long(0), Long(0))
        self._words = f"{file.resolve().as_uri()}\r\n".encode()
        self._x.XSetSelectionOwner(self._display, self._atom(b"XdndSelection"), Window(self._source), Long(0))

    def drop(self, x: int, y: int) -> None:
        """Drag to a place on the screen and let go; TimeoutError where the window there takes nothing."""
        target = self._aware()
        self._send(target, b"XdndEnter", VERSION << 24, self._atom(b"text/uri-list"))
        for step in range(5):  # a drag is a motion: where it began, then nearer and nearer
            at = (x - 20 + 5 * (step + 1)) << 16 | y
            self._send(target, b"XdndPosition", 0, at, 0, self._atom(COPY))
            self._wait_for(b"XdndStatus")
        self._send(target, b"XdndDrop", 0, 0)
        self._wait_for(b"XdndFinished")

    def _atom(self, name: bytes) -> int:
        return self._x.XInternAtom(self._display, name, 0)

    def _aware(self) -> int:
        """Return the first window on the screen that takes what is dropped."""
        parent, root, many = Window(), Window(), ctypes.c_uint()
        children = ctypes.POINTER(Window)()
        refs = map(ctypes.byref, (root, parent, children, many))
        self._x.XQueryTree(self._display, self._root, *refs)
        for window in children[: many.value]:
            kind, form, length, left = Atom(), ctypes.c_int(), ctypes.c_ulong(), ctypes.c_ulong()
            content = ctypes.c_void_p()
            got = map(ctypes.byref, (kind, form, length, left, content))
            wanted = Atom(self._atom(b"XdndAware"))
            self._x.XGetWindowProperty(
                self._display, Window(window), wanted, Long(0), Long(1), 0, Atom(ANY_TYPE), *got
            )
            if kind.value == ATOM:
                return window
        raise TimeoutError("no window takes what is dropped")

    def _send(self, target: int, name: bytes, *values: int) -> None:
        data = (Long * 5)(self._source, *values)
        message = ClientMessage(CLIENT_MESSAGE, 0, 1, self._display, target, self._atom(name), 32, data)
        self._deliver(target, Event(client=message))

    def _deliver(self, target: int, event: Event) -> None:
        self._x.XSendEvent(self._display, Window(target), 0, Long(0), ctypes.byref(event))
        self._x.XFlush(self._display)

    def _wait_for(self, name: bytes) -> None:
        """Answer who asks for the file's address until a message comes."""
        end, event = time.monotonic() + PATIENCE, Event()
        while time.monotonic() < end:
            while self._x.XPending(self._display):
                self._x.XNextEvent(self._display, ctypes.byref(event))
                if event.type == SELECTION_REQUEST:
                    self._tell(event.request)
                elif event.type == CLIENT_MESSAGE and event.client.message_type == self._atom(name):
                    return
            time.sleep(0.01)
        raise TimeoutError(f"the window never sent {name.decode()}")

    def _tell(self, asked: SelectionRequest) -> None:
        """Put the file's address where the window that asked looks for it."""
        place = (self._display, Window(asked.requestor), Atom(asked.property), Atom(asked.target))
        self._x.XChangeProperty(*place, 8, PROP_MODE_REPLACE, self._words, len(self._words))
        names = (asked.requestor, asked.selection, asked.target, asked.property, asked.time)
        answer = SelectionNotify(SELECTION_NOTIFY, 0, 1, self._display, *names)
        self._deliver(asked.requestor, Event(notify=answer))


if __name__ == "__main__":
    Drag(Path(sys.argv[1])).drop(int(sys.argv[2]), int(sys.argv[3]))
