"""Clients on threads of their own, until they are told to leave; a fault of theirs fails the test."""

import random
import threading


class Clients:
    """What sends: *works*() gives one function of (number, random) for each thread."""

    def __init__(self):
        self.leaving = threading.Event()
        self.threads = []
        self.failures = []

    def works(self):
        """One for each thread."""
        raise NotImplementedError

    def come(self):
        """Begin to send."""
        for number, work in enumerate(self.works()):
            thread = threading.Thread(target=self._guarded, args=(work, number), daemon=True)
            thread.start()
            self.threads.append(thread)
        return self

    def leave(self):
        """Stop after what is in work."""
        self.leaving.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not self.failures, self.failures

    def _guarded(self, work, number):
        try:
            work(number, random.Random(number))
        except Exception as error:  # a client's own fault fails the test
            self.failures.append(repr(error))
            raise
