"""Rate cards as they are stored, each in force from its moment until the next one's.

A card that is in force is never changed or removed, because rows were priced at it; one that is
still to come is replaced by another of the same moment. Owns the table `rate_cards`; does not
own what a card means (`domain/rate_card.py`).
"""

from dataclasses import dataclass
from functools import lru_cache

import msgspec
from sqlalchemy import Connection, Text, cast, delete, func, insert, select

from tollway.domain.errors import Conflict
from tollway.domain.ids import OrgId, new_id
from tollway.domain.rate_card import RateCard, Tariffs, rate_card
from tollway.store.changes import announce
from tollway.store.schema import orgs, rate_cards

MAX_TO_COME = 20
MAX_LISTED = 100
_REMEMBERED_CARDS = 1_024
_decode_tariffs = msgspec.json.Decoder(dict[str, dict[str, str]] | None).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCard:
    """A card as its operator wrote it. Times in microseconds."""

    id: str
    effective_us: int
    markup: str | None
    prices: Tariffs | None
    added_us: int


def has_org(db: Connection, org: OrgId) -> bool:
    """Whether there is such an organisation."""
    return db.execute(select(orgs.c.id).where(orgs.c.id == org)).first() is not None


def put_card(
    db: Connection,
    org: OrgId,
    *,
    effective_us: int,
    markup: str | None,
    prices: Tariffs | None,
    now_us: int,
) -> StoredCard:
    """Add a card, in force in every process within a second of its moment. Conflict if it cannot be added."""
    # Locked, so that cards made at once are counted.
    db.execute(select(orgs.c.id).where(orgs.c.id == org).with_for_update())
    table = rate_cards.c
    same = (table.org_id == org, table.effective_us == effective_us)
    if effective_us > now_us:
        db.execute(delete(rate_cards).where(*same))
    elif db.execute(select(table.id).where(*same)).first():
        raise Conflict("another card came into force this very moment; try again", code="rate_card_in_force")
    to_come = select(func.count()).where(table.org_id == org, table.effective_us > now_us)
    if effective_us > now_us and db.execute(to_come).scalar_one() >= MAX_TO_COME:
        raise Conflict(
            f"{MAX_TO_COME} cards are to come already; replace one of them", code="too_many_rate_cards"
        )
    card = StoredCard(
        id=new_id(now_us), effective_us=effective_us, markup=markup, prices=prices, added_us=now_us
    )
    db.execute(
        insert(rate_cards).values(
            org_id=org,
            effective_us=effective_us,
            id=card.id,
            markup=markup,
            dollars=prices,
            added_us=now_us,
        )
    )
    announce(db, org, now_us)
    return card


def list_cards(db: Connection, org: OrgId) -> list[StoredCard]:
    """The organisation's cards of the newest moments, those to come first; at most 100."""
    table = rate_cards.c
    newest = select(rate_cards).where(table.org_id == org).order_by(table.effective_us.desc())
    rows = db.execute(newest.limit(MAX_LISTED))
    return [
        StoredCard(
            id=row.id,
            effective_us=row.effective_us,
            markup=row.markup,
            prices=row.dollars,
            added_us=row.added_us,
        )
        for row in rows
    ]


def cards_from(db: Connection, org: OrgId, since_us: int) -> tuple[RateCard, ...]:
    """The card in force at `since_us` and all later ones, ascending, compiled."""
    table = rate_cards.c
    in_force = (
        select(func.max(table.effective_us))
        .where(table.org_id == org, table.effective_us <= since_us)
        .scalar_subquery()
    )
    rows = db.execute(
        select(table.id, table.effective_us, table.markup, cast(table.dollars, Text).label("dollars"))
        .where(table.org_id == org, table.effective_us >= func.coalesce(in_force, since_us))
        .order_by(table.effective_us)
    )
    return tuple(_compiled(row.id, row.effective_us, row.markup, row.dollars) for row in rows)


@lru_cache(_REMEMBERED_CARDS)
def _compiled(id_: str, effective_us: int, markup: str | None, dollars: str | None) -> RateCard:
    """Shared by all keys of the organisation: cards may be large."""
    return rate_card(id_, effective_us, markup, _decode_tariffs(dollars) if dollars else None)
