"""Tasks in threads, and what they leave to the thread that waits for them."""

import threading
import warnings
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

SECONDS_TO_SIGNAL = 0.05  # in which the waiting thread looks for signals, and the others whether it still waits


class Tasks:
    """Tasks, each in a thread; the one that waits for them does what must not happen twice at a time.

    In threads of their own even if it is one: Ctrl-C, which the main thread alone sees, then ends the work between two
    tasks, and where a task looks.
    """

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._over = threading.Event()

    def look(self) -> None:
        """Ends a task where nobody waits for it any more."""
        if self._over.is_set():
            raise CancelledError

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """For a task: what a function answers that the waiting thread calls. Its errors end all tasks."""
        answer: Future[Any] = Future()
        self._asked.put(lambda: answer.set_result(function(*arguments)))
        while True:
            try:
                return answer.result(SECONDS_TO_SIGNAL)
            except TimeoutError:
                self.look()

    def _wait(self, future: Future[Any]) -> Any:
        while not future.done():
            try:
                asked = self._asked.get(timeout=SECONDS_TO_SIGNAL)
            except Empty:
                continue
            if asked is not None:
                asked()
        return future.result()

    def map(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        seen: Callable[[int, Any], None] = lambda i, result: None,
    ) -> list[Any]:
        """Results in order, each `seen` with its number by the thread that waits. The first failure ends the others.

        scikit-learn's checks change the filters of warnings for a moment, which threads undo in any order: those of
        before are put back in the end.
        """
        tasks = list(zip(*arguments, strict=True))
        with warnings.catch_warnings(), ThreadPoolExecutor(min(len(tasks), self._n_threads)) as pool:
            try:
                futures = [pool.submit(function, *task) for task in tasks]
                for future in futures:
                    future.add_done_callback(lambda _: self._asked.put(None))  # which ends the waiting at once
                for i, future in enumerate(futures):
                    seen(i, self._wait(future))
                return [future.result() for future in futures]
            except BaseException:
                self._over.set()
                pool.shutdown(cancel_futures=True)
                raise
