"""The name servers of a stage, scripted: whoever owns a name decides what it answers, and whether."""

import socket
import threading
from collections.abc import Sequence

from tollway.push.addresses import ask_the_system


class Names:
    """What a resolver asks; names that are not scripted the system knows."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._answers: dict[str, list[Sequence[str]]] = {}
        self._silent: set[str] = set()
        self._ended = threading.Event()

    def always(self, name: str, addresses: Sequence[str]) -> None:
        """The name has these addresses."""
        self._answers[name] = [addresses]

    def first_then(self, name: str, *answers: Sequence[str]) -> None:
        """The name's addresses for each question in turn; the last answer stays."""
        self._answers[name] = list(answers)

    def unknown(self, name: str) -> None:
        """Nobody knows the name."""
        self._answers[name] = [()]

    def silent(self, name: str) -> None:
        """Nobody answers for the name until the end."""
        self._silent.add(name)

    def end(self) -> None:
        """Whoever still waits is told that nobody knows the name."""
        self._ended.set()

    def __call__(self, host: str) -> Sequence[str]:
        """The host's addresses; on whichever thread."""
        self.asked.append(host)
        if host in self._silent:
            self._ended.wait()
        elif host not in self._answers:
            return ask_the_system(host)
        turns = self._answers.get(host, [()])
        addresses = turns.pop(0) if len(turns) > 1 else turns[0]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return addresses
