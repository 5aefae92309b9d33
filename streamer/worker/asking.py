"""Questions that other threads put to the supervisor's loop, which alone knows the answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from streamer.control.words import Busy
from streamer.worker.children import Posted

ANSWER_WITHIN_S = 10.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Asked(Posted):
    """Something to do in the loop."""

    answer: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Asking:
    """`post` brings questions to the loop."""

    post: Callable[[Posted], None]
    within_s: float = ANSWER_WITHIN_S

    def ask(self, what: Callable[[], _T]) -> _T:
        """What `what` returns, called in the loop. Raises what it raises, and `Busy` when the loop does not come by
        in time: then it is not called any more."""

        def begin(answer: Future[_T]) -> None:
            answer.set_result(what())

        return self.ask_later(begin)

    def ask_later(self, begin: Callable[[Future[_T]], None]) -> _T:
        """The answer to something that `begin`, called in the loop, sets going. Raises as `ask` does; what was begun
        may still come to its end after `Busy`."""
        answer: Future[_T] = Future()

        def start() -> None:
            if not answer.set_running_or_notify_cancel():
                return  # nobody waits any more
            try:
                begin(answer)
            except Exception as error:
                answer.set_exception(error)

        self.post(Asked(start))
        try:
            return answer.result(self.within_s)
        except TimeoutError:
            answer.cancel()
            raise Busy(f"the process did not answer within {self.within_s:g} s: try again.") from None
