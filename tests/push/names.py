"""The resolver that names are looked up with, scripted: whoever owns a name decides what it answers."""

import asyncio
import socket
from collections.abc import Sequence

import pytest

from tollway.push.addresses import AddressInfo


class Names:
    """Answers of one event loop's resolver; names that are not scripted it knows from the system."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.asked: list[str] = []
        self._answers: dict[str, list[Sequence[str]]] = {}
        self._system = loop.getaddrinfo

    def always(self, name: str, addresses: Sequence[str]) -> None:
        """The name has these addresses."""
        self._answers[name] = [addresses]

    def first_then(self, name: str, *answers: Sequence[str]) -> None:
        """The name's addresses for each question in turn; the last answer stays."""
        self._answers[name] = list(answers)

    def unknown(self, name: str) -> None:
        """Nobody knows the name."""
        self._answers[name] = [()]

    async def getaddrinfo(
        self,
        host: str,
        port: int,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - asyncio's name for it
        proto: int = 0,
        flags: int = 0,
    ) -> Sequence[AddressInfo]:
        """As a loop's."""
        self.asked.append(host)
        if host not in self._answers:
            return await self._system(host, port, family=family, type=type, proto=proto, flags=flags)
        turns = self._answers[host]
        addresses = turns.pop(0) if len(turns) > 1 else turns[0]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]


def scripted_names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """What the running loop asks from here on: the other end of each look-up."""
    loop = asyncio.get_running_loop()
    scripted = Names(loop)
    monkeypatch.setattr(loop, "getaddrinfo", scripted.getaddrinfo)
    return scripted
