"""How pushing to an organisation's receivers goes, and a probe of one.

Owns what the admin is told, and which credentials may be sent where: stored ones to the endpoint
that they were stored with, and given ones, complete, to a given endpoint. Does not own how a probe
is sent (`push/probe.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from sqlalchemy import Connection

from tollway.control.access import permitted_org, require_able
from tollway.control.integrations import KINDS, Receiver, check_endpoints
from tollway.domain.caller import Person
from tollway.domain.clock import US_PER_S
from tollway.domain.destination import Destination, DestinationKind
from tollway.domain.errors import Fault, Invalid
from tollway.domain.ids import OrgId
from tollway.domain.moment import iso
from tollway.domain.operation import Operation
from tollway.domain.token import MASK, Secret
from tollway.push.delivery import Outbound
from tollway.push.probe import Answer, probe
from tollway.store.database import Database
from tollway.store.deployment import read_instance
from tollway.store.integrations import Integration, find_integrations, sealing_context
from tollway.store.orgs import name_of
from tollway.store.turns import Status, read_status
from tollway.store.vault import Vault, VaultError

LOKI_PROTOCOL = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverStatus:
    """How one receiver is served."""

    state: Annotated[str, "ok, retrying (also before the first push), refused, or off"]
    last_success: Annotated[str | None, "When it last took what it was sent"] = None
    last_error: Annotated[str | None, "What it, or the way to it, said at the last failure since then"] = None
    lag_s: Annotated[
        float, "prom: seconds since its last success. loki: how long the oldest row has been waiting"
    ] = 0.0
    lag_rows: Annotated[int, "loki: ledger rows that it does not have yet"] = 0
    dropped: Annotated[
        Mapping[str, int],
        "Of all time. refused: lines or pictures; too_old: lines it would not take any more",
    ]
    protocol: Annotated[str | None, "prom: the version of remote write that it proved to understand"] = None


OFF = ReceiverStatus(state="off", dropped={"refused": 0, "too_old": 0})


def show_status(db: Connection, person: Person, now_us: int) -> dict[DestinationKind, ReceiverStatus]:
    """How each receiver of the person's current organisation is served; NotFound if they are in none."""
    return status_of(db, permitted_org(person, Operation.SHOW_INTEGRATIONS), now_us)


def status_of(db: Connection, org: OrgId, now_us: int) -> dict[DestinationKind, ReceiverStatus]:
    """How each receiver of the organisation is served."""
    found = read_status(db, org)
    return {kind: _shown(kind, found[kind], now_us) if kind in found else OFF for kind in KINDS}


def _shown(kind: DestinationKind, status: Status, now_us: int) -> ReceiverStatus:
    since_us = status.waiting_since_us if kind == "loki" else status.last_success_us or status.put_us
    return ReceiverStatus(
        state=status.state,
        last_success=None if status.last_success_us is None else iso(status.last_success_us),
        last_error=status.last_error,
        lag_s=0.0 if since_us is None else max(0.0, (now_us - since_us) / US_PER_S),
        lag_rows=status.waiting_rows,
        dropped={"refused": status.refused, "too_old": status.too_old},
        protocol=LOKI_PROTOCOL if kind == "loki" else status.protocol,
    )


async def probe_receivers(
    database: Database,
    person: Person,
    given: Mapping[DestinationKind, Receiver],
    *,
    outbound: Outbound,
    vault: Vault,
    now_us: int,
) -> dict[DestinationKind, Answer | None]:
    """Probe the given receivers, or the stored ones if none is given; None where there is none.

    Forbidden; Invalid for an endpoint that may not be pushed to, or a token that is no secret.
    """
    org = permitted_org(person, Operation.TEST_INTEGRATIONS)
    if not given:
        return await probe_stored(database, org, outbound=outbound, vault=vault, now_us=now_us)
    masked = [
        Fault(
            loc=("body", kind, "token"),
            msg="to try a receiver that is not stored, send its token itself",
            type="masked_token",
        )
        for kind, receiver in given.items()
        if receiver.token.startswith(MASK)
    ]
    if masked:
        raise Invalid(*masked)
    await check_endpoints(given, org, outbound)
    name, instance = await database.read(_labels_of_active, org)
    answers: dict[DestinationKind, Answer | None] = dict.fromkeys(KINDS)
    for kind, receiver in given.items():
        answers[kind] = await probe(
            _destination(org, kind, receiver), outbound, org_name=name, instance=instance, now_us=now_us
        )
    return answers


async def probe_stored(
    database: Database, org: OrgId, *, outbound: Outbound, vault: Vault, now_us: int
) -> dict[DestinationKind, Answer | None]:
    """Probe the organisation's stored receivers with their stored tokens. StoreUnavailable, Forbidden."""
    stored = await database.read(find_integrations, org)
    name, instance = await database.read(_labels_of_active, org)
    answers: dict[DestinationKind, Answer | None] = dict.fromkeys(KINDS)
    for kind in KINDS:
        if kind not in stored:
            continue
        try:
            receiver = _opened(stored[kind], org, vault)
        except VaultError:
            text = "the stored token does not open: send it again"
            answers[kind] = Answer(is_ok=False, status=None, text=text)
            continue
        answers[kind] = await probe(
            _destination(org, kind, receiver), outbound, org_name=name, instance=instance, now_us=now_us
        )
    return answers


def _opened(stored: Integration, org: OrgId, vault: Vault) -> Receiver:
    context = sealing_context(org, stored.kind, stored.user, stored.endpoint)
    token = vault.open(stored.token_sealed, context).reveal()
    return Receiver(user=stored.user, token=token, endpoint=stored.endpoint)


def _destination(org: OrgId, kind: DestinationKind, receiver: Receiver) -> Destination:
    return Destination(
        org_id=org,
        kind=kind,
        user=receiver.user,
        token=Secret(receiver.token),
        endpoint=receiver.endpoint,
    )


def _labels_of_active(db: Connection, org: OrgId) -> tuple[str, str]:
    """The organisation's name, and the `instance` of its metrics; Forbidden if it is not active."""
    require_able(db, org, Operation.TEST_INTEGRATIONS)
    return name_of(db, org), read_instance(db)
