"""Waiting for something with a deadline, and free ports."""

import itertools
import os
import socket
import time

FIRST, COUNT = 20_000, 12_000

_given_out: set[int] = set()


def wait_until(condition, what: str, seconds: float = 30.0, every: float = 0.02):
    """The first truthy value of `condition()`; fails after `seconds`, saying what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(every)


def free_port() -> int:
    """A port nobody listens on. None is given out twice: the client caches key sets by URL for the whole process."""
    # Below the range of outgoing connections, one of which might take it before the server does.
    for number in itertools.count(os.getpid() * 61):
        port = FIRST + number % COUNT
        if port in _given_out:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given_out.add(port)
        return port
