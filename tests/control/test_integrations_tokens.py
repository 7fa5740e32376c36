"""A stored token goes where it was given for, whatever an admin puts afterwards."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from tests.push.receivers import Talk, read_head, server
from tests.world.stage import Answer, Stage, Tenant
from tollway.domain.token import masked

Kind = Literal["prom", "loki"]
KINDS: tuple[Kind, ...] = ("prom", "loki")
USERS = ["123456", "654321"]
TOKENS = ["glc_first-token-acme", "glc_other-token-acme", "short", "tiny!"]
"""Two that look alike when they are masked, and two of which nothing is shown."""
MASKS = sorted({masked(token) for token in TOKENS})
PLACES = ["0/push", "0/push2", "1/push"]
"""Endpoints: a receiver's number and a path on it."""


@dataclass(frozen=True, slots=True)
class Given:
    """A receiver as an admin writes it; the token may be a mask."""

    kind: Kind
    user: str
    token: str
    place: str


@dataclass(frozen=True, slots=True)
class Echoed:
    """What is stored for a kind, as it is read back: masked, and with a change or two, or none."""

    kind: Kind
    as_kind: Kind
    user: str | None
    place: str | None


@dataclass(frozen=True, slots=True)
class Removed:
    """`null` for the kind."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class Pushed:
    """Time for every receiver to be pushed to."""


Step = Given | Echoed | Removed | Pushed

steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(
        Given,
        kind=st.sampled_from(KINDS),
        user=st.sampled_from(USERS),
        token=st.sampled_from(TOKENS + MASKS),
        place=st.sampled_from(PLACES),
    ),
    st.builds(
        Echoed,
        kind=st.sampled_from(KINDS),
        as_kind=st.sampled_from(KINDS),
        user=st.none() | st.sampled_from(USERS),
        place=st.none() | st.sampled_from(PLACES),
    ),
    st.builds(Removed, kind=st.sampled_from(KINDS)),
    st.just(Pushed()),
)


@dataclass(slots=True)
class Admin:
    """What one organisation's admin did, and what follows from it by the rules."""

    stage: Stage
    tenant: Tenant
    addresses: list[str]
    stored: dict[Kind, Given] = field(default_factory=dict)
    given_for: set[tuple[str, str, str]] = field(default_factory=set)
    """Place, user and token, of what was given in clear, for the kind or another."""

    async def do(self, step: Step) -> None:
        """Do it, and check the answer."""
        match step:
            case Pushed():
                await self.stage.chat(self.tenant)
                await self.stage.settled()
            case Removed():
                assert (await self._put(step.kind, None)).status == 200
                self.stored.pop(step.kind, None)
            case Given():
                await self._give(step)
            case Echoed():
                at = self.stored.get(step.kind)
                if at is not None:
                    user, place = step.user or at.user, step.place or at.place
                    await self._give(Given(step.as_kind, user, masked(at.token), place))

    async def _give(self, step: Given) -> None:
        is_masked = step.token in MASKS
        if is_masked:
            kept = self.stored.get(step.kind)
            is_kept = kept is not None and step == Given(kept.kind, kept.user, masked(kept.token), kept.place)
        else:
            is_kept = False
            self.given_for.add((step.place, step.user, step.token))
            self.stored[step.kind] = step
        answer = await self._put(
            step.kind, {"id": step.user, "token": step.token, "endpoint": self._url(step.place)}
        )
        assert answer.status == (200 if is_kept or not is_masked else 422), answer.body
        for token in TOKENS:
            assert token not in answer.body.decode()

    async def _put(self, kind: Kind, value: object) -> Answer:
        return await self.stage.request(
            "PUT", "/v1/orgs/integrations", token=self.tenant.user_token, body={kind: value}
        )

    def _url(self, place: str) -> str:
        number, _, path = place.partition("/")
        return f"http://{self.addresses[int(number)]}/{path}"


@asynccontextmanager
async def receivers(seen: list[tuple[str, str, str]]) -> AsyncIterator[list[str]]:
    """Two receivers that take anything, and list place, user and token of each push."""

    def listing(number: int) -> Talk:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await read_head(reader)).decode()
            lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            user, _, token = b64decode(lines["Authorization"].removeprefix("Basic ")).decode().partition(":")
            seen.append((f"{number}{head.split(' ')[1]}", user, token))
            await reader.readexactly(int(lines["Content-Length"]))
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

        return talk

    async with server(listing(0)) as first, server(listing(1)) as second:
        yield [first, second]


async def play(stage: Stage, name: str, chosen: list[Step]) -> None:
    seen: list[tuple[str, str, str]] = []
    async with receivers(seen) as addresses:
        admin = Admin(stage, await stage.tenant(name), addresses)
        for step in [*chosen, Pushed()]:
            before = len(seen)
            await admin.do(step)
            new = set(seen[before:])
            assert new <= admin.given_for
            if isinstance(step, Pushed):
                assert new == {(at.place, at.user, at.token) for at in admin.stored.values()}
            else:
                assert not new
        for kind in KINDS:
            await admin.do(Removed(kind))


numbers = count()


@bounds(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # an example is too slow to be made small
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(chosen=st.lists(steps, max_size=10))
async def test_no_sequence_leads_a_token_elsewhere(stage: Stage, chosen: list[Step]) -> None:
    await play(stage, f"acme-{next(numbers)}", chosen)


async def test_a_token_is_not_taken_over_by_another_that_looks_alike(stage: Stage) -> None:
    first, other = TOKENS[:2]
    mask = masked(first)
    assert mask == masked(other)
    await play(
        stage,
        "acme",
        [
            Given("prom", USERS[0], first, PLACES[0]),
            Given("loki", USERS[0], other, PLACES[2]),
            Given("prom", USERS[0], mask, PLACES[2]),
            Given("loki", USERS[0], mask, PLACES[0]),
            Pushed(),
            Given("prom", USERS[1], mask, PLACES[0]),
            Removed("prom"),
            Given("prom", USERS[0], mask, PLACES[0]),
            Given("prom", USERS[0], other, PLACES[1]),
            Given("prom", USERS[0], mask, PLACES[0]),
            Given("prom", USERS[0], mask, PLACES[1]),
        ],
    )
