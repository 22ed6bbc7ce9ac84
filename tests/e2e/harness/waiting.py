"""Waiting for something with a deadline, and free ports."""

import socket
import time

_given_out: set[int] = set()


def wait_until(condition, what: str, seconds: float = 10.0, every: float = 0.02):
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
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _given_out:
            _given_out.add(port)
            return port
