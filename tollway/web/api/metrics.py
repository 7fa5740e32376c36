"""`/metrics`: the operator's Prometheus asks how this process, and the whole of them, are doing.

On the main port it needs the operator's token, and every sample bears the process's id, since the
next scrape may meet another process; on a port of its own it needs none, and each process has its own.
Organisations' names are told with the token only, and only to who asks `?by=org`. Owns who may ask,
and that an answer is bounded, whatever the database does; does not own what is told (`control/`).
"""

import asyncio
import secrets
import time
from base64 import b64decode
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from tollway.control.exposition import CONTENT_TYPE, exposition, families
from tollway.control.metrics import Seen
from tollway.domain.errors import StoreUnavailable, Unauthenticated
from tollway.domain.token import digest
from tollway.store.deployment import operator_token_hash
from tollway.store.gauges import Installation, read_installation
from tollway.web.bearer import Credentials
from tollway.world import World

READ_S = 2.0
"""Longest wait for the database; Prometheus itself waits 10 s by default."""

router = APIRouter(tags=["health"])


class Door:
    """Where one port's scrapes come in. `is_open`: without a token, since the port is the operator's."""

    def __init__(self, world: World, *, is_open: bool, patience_s: float = READ_S) -> None:
        self.world = world
        self.is_open = is_open
        self._patience_s = patience_s
        self._operator: str | None = None
        self._reading: dict[bool, asyncio.Future[tuple[Installation | None, float]]] = {}

    async def require_operator(self, token: str | None) -> None:
        """Unauthenticated for everybody else; StoreUnavailable if it cannot be said.

        Which token that is is asked once: the database is away when metrics are needed most.
        """
        given = self.world.settings.operator_token
        if self._operator is None:
            self._operator = digest(given) if given else await self.world.database.read(operator_token_hash)
        if not token or self._operator is None or not secrets.compare_digest(digest(token), self._operator):
            raise Unauthenticated("metrics are the operator's: send its token, as bearer token or password")

    async def look(self, *, by_org: bool) -> Seen:
        """At everything, now. Those who ask at the same time share one question to the database."""
        reading = self._reading.get(by_org)
        if reading is None:
            # It outlives who asked: a database that hangs is not asked again before it has answered.
            reading = self._reading[by_org] = asyncio.ensure_future(self._read(by_org))
            reading.add_done_callback(lambda _: self._reading.pop(by_org))
        done, _ = await asyncio.wait({reading}, timeout=self._patience_s)
        installation, read_s = reading.result() if done else (None, self._patience_s)
        return seen(self.world, installation, read_s)

    async def _read(self, by_org: bool) -> tuple[Installation | None, float]:
        began_s = time.monotonic()
        try:
            found = await self.world.database.read(read_installation, by_org=by_org)
        except StoreUnavailable:
            found = None
        return found, time.monotonic() - began_s


def seen(world: World, installation: Installation | None, read_s: float) -> Seen:
    """This process as it is now, with what was found in the database."""
    journal, folder, limits = world.journal, world.folder, world.gateway.limits
    return Seen(
        now_us=world.clock.now_us(),
        process=journal.id,
        traffic=world.gateway.meter.traffic,
        journal_bytes=sum(journal.room.sizes.values()),
        journal_max_bytes=journal.room.max_bytes,
        journal_segments=len(journal.room.sizes),
        journal_open=len(journal.open),
        journal_unwritten=journal.unwritten,
        journal_is_troubled=journal.trouble is not None,
        journal_is_damaged=folder.is_damaged,
        syncs=journal.synchronised.times,
        failed_syncs=journal.synchronised.failures,
        sync_s=journal.synchronised.seconds,
        waiting_records=folder.waiting,
        waiting_bytes=folder.waiting_bytes,
        lag_us=folder.lag_us,
        folded_rows=folder.num_rows,
        unreadable_journals=world.recovery.num_unreadable,
        refusals=limits.refusals,
        orders=limits.num_orders,
        failed_orders=limits.num_failed_orders,
        organisations=limits.num_organisations,
        in_hand=limits.in_hand(),
        limits_are_troubled=limits.trouble is not None,
        installation=installation,
        read_s=read_s,
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"description": "Prometheus' text format.", "content": {"text/plain": {}}},
        401: {"description": "Not the operator's token, as bearer token or as the password of basic auth."},
    },
)
async def metrics(
    request: Request,
    credentials: Credentials,
    by: Annotated[
        Literal["org"] | None, Query(description="`org`: receivers one by one, with organisations' names.")
    ] = None,
) -> Response:
    """This process's metrics, and those that all of them share."""
    door: Door = request.app.state.metrics_door
    by_org = by is not None
    if by_org or not door.is_open:
        token = credentials.credentials if credentials else _password(request.headers.get("authorization"))
        await door.require_operator(token)
    told = families(await door.look(by_org=by_org), by_org=by_org)
    process = None if door.is_open else door.world.journal.id
    return Response(await asyncio.to_thread(exposition, told, process), media_type=CONTENT_TYPE)


def _password(header: str | None) -> str | None:
    """The password of basic auth, whoever the user is; None if there is none."""
    scheme, _, value = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except ValueError:  # no base64, or no text
        return None
