"""`PUT /v1/orgs/integrations`: where an organisation's metrics and logs go.

Owns the rules of the change: everything is valid or nothing is stored, and a stored token is
only ever kept for the receiver that it was stored for. Does not own the form of an endpoint
(`domain/destination.py`) or whether an address may be reached (`push/addresses.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from tollway.control.access import permitted_org, require_able
from tollway.domain.caller import Person
from tollway.domain.destination import DestinationKind, parse_endpoint
from tollway.domain.errors import Fault, Invalid
from tollway.domain.ids import OrgId
from tollway.domain.operation import Operation
from tollway.domain.org import Organisation
from tollway.domain.token import MASK, masked
from tollway.push.addresses import reachable_refusal
from tollway.push.delivery import Outbound
from tollway.store.changes import announce
from tollway.store.database import Database
from tollway.store.integrations import (
    Integration,
    find_integrations,
    put_integration,
    remove_integration,
    sealing_context,
)
from tollway.store.orgs import touch_org
from tollway.store.record import read_record
from tollway.store.vault import Vault

KINDS: tuple[DestinationKind, ...] = ("prom", "loki")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A receiver as asked for; `token` is the secret, or the masked form of the stored one."""

    user: str
    token: str
    endpoint: str


Wanted = Mapping[DestinationKind, Receiver | None]
"""By kind: a receiver to push to, None to push nowhere; a kind that is absent stays as it is."""


async def put_integrations(
    database: Database,
    person: Person,
    wanted: Wanted,
    *,
    vault: Vault,
    outbound: Outbound,
    now_us: int,
) -> Organisation:
    """Store the receivers of the person's current organisation; the record as it is then.

    Forbidden; Invalid, naming each field that cannot be accepted, and then nothing is stored.
    """
    org = permitted_org(person, Operation.PUT_INTEGRATIONS)
    await check_endpoints(wanted, org, outbound)
    return await database.write(_store, org, wanted, vault, now_us)


async def check_endpoints(wanted: Wanted, org: OrgId, outbound: Outbound) -> None:
    """Invalid, naming each endpoint that may not be pushed to."""
    faults = []
    for kind, receiver in wanted.items():
        if receiver is None:
            continue
        loc = ("body", kind, "endpoint")
        try:
            endpoint = parse_endpoint(receiver.endpoint)
        except ValueError as error:
            faults.append(Fault(loc=loc, msg=str(error), type="url_invalid"))
            continue
        refused = await reachable_refusal(endpoint, outbound.allowed, outbound.resolver, org)
        if refused:
            faults.append(Fault(loc=loc, msg=refused, type="address_refused"))
    if faults:
        raise Invalid(*faults)


def _store(db: Connection, org: OrgId, wanted: Wanted, vault: Vault, now_us: int) -> Organisation:
    require_able(db, org, Operation.PUT_INTEGRATIONS)
    stored = find_integrations(db, org)
    faults = [
        fault
        for kind, receiver in wanted.items()
        if receiver and (fault := _misused_mask(kind, receiver, stored.get(kind)))
    ]
    if faults:
        raise Invalid(*faults)
    for kind, receiver in wanted.items():
        if receiver is None:
            remove_integration(db, org, kind)
        elif not receiver.token.startswith(MASK):
            put_integration(db, org, _sealed(org, kind, receiver, vault), now_us)
    touch_org(db, org, now_us)
    announce(db, org, now_us)
    return read_record(db, org, now_us)


def _sealed(org: OrgId, kind: DestinationKind, receiver: Receiver, vault: Vault) -> Integration:
    context = sealing_context(org, kind, receiver.user, receiver.endpoint)
    return Integration(
        kind=kind,
        user=receiver.user,
        endpoint=receiver.endpoint,
        token_sealed=vault.seal(receiver.token, context),
        token_masked=masked(receiver.token),
    )


def _misused_mask(kind: DestinationKind, receiver: Receiver, stored: Integration | None) -> Fault | None:
    """A masked token stands for the stored one, at the very receiver it was stored for."""
    if not receiver.token.startswith(MASK):
        return None
    same = (
        stored is not None
        and receiver.token == stored.token_masked
        and (receiver.user, receiver.endpoint) == (stored.user, stored.endpoint)
    )
    if same:
        return None
    return Fault(
        loc=("body", kind, "token"),
        msg=(
            "a masked token stands for the stored one only together with the stored id and endpoint; "
            "send the token itself"
        ),
        type="masked_token",
    )
