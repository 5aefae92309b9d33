"""What can be made ready while work goes on: by one thread of this process, one thing after the other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Background:
    """`do` may be called from any thread. The thread ends when nothing is left; the process waits for it to end.

    What a task raises is shown on standard error and ends that task alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None

    def do(self, task: Callable[[], None]) -> None:
        """Have it done after those that wait already."""
        with self._lock:
            self._tasks.append(task)
            if self._thread is None:
                # No daemon: one that is inside of an engine when the interpreter goes away would take it down.
                self._thread = threading.Thread(target=self._run, name="background", daemon=False)
                self._thread.start()

    def drop(self) -> None:
        """Begin nothing more of what waits: the process is about to end."""
        with self._lock:
            self._tasks.clear()

    def wait(self) -> None:
        """Return when everything that was asked for so far is done."""
        done = threading.Event()
        self.do(done.set)
        done.wait()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._tasks:
                    self._thread = None
                    return
                task = self._tasks.popleft()
            try:
                task()
            except Exception as error:
                threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))


BACKGROUND = Background()
"""The one of this process."""
