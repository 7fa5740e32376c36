"""Ledger entries, and the organisations that they belong to, as tests want them."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from tests.world.clock import NOON_US
from tollway.domain.ids import AppId, JournalId, KeyId, OrgId, RequestId, UserId, new_id
from tollway.domain.ledger import NOTHING, Batch, Entry, EntryKind, Outcome, Record, Start, unsettled
from tollway.domain.money import Nano
from tollway.domain.price import Cost, Price
from tollway.domain.usage import Unit
from tollway.store.apps import create_app
from tollway.store.orgs import create_org
from tollway.store.schema import orgs
from tollway.store.users import create_user

ORG = OrgId("org-1")
JOURNAL = JournalId("journal-1")

ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
"""For what only a server with several writers can get wrong."""
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def cost(prompt: int, completion: int) -> Cost:
    """So many nano-dollars for the two sides."""
    by_unit = {Unit.INPUT: Nano(prompt), Unit.OUTPUT: Nano(completion)}
    return Cost(version="list@1", by_unit=by_unit, prompt=Nano(prompt), completion=Nano(completion))


def entry(**changes: Any) -> Entry:  # noqa: ANN401 - any of its fields
    """A settled call that took a second: 6 + 25 tokens, 2,400 + 40,000 nano-dollars."""
    plain = Entry(
        request_id=RequestId(new_id(NOON_US)),
        outcome=Outcome.SETTLED,
        status=200,
        org_id=ORG,
        app_id=AppId("app-1"),
        app="acme-app",
        key_id=KeyId("key-1"),
        provider="demo",
        model="demo/small",
        units={Unit.INPUT: 6, Unit.OUTPUT: 25},
        cost=cost(2_400, 40_000),
        vendor_cost=cost(2_400, 40_000),
        started_us=NOON_US - 1_000_000,
        ended_us=NOON_US,
    )
    return msgspec.structs.replace(plain, **changes)


def batch(records: Sequence[Record], journal: JournalId = JOURNAL, prices: Sequence[Price] = ()) -> Batch:
    """Records as the folder hands them over: from the first of them to the last."""
    first, upto = records[0][0], records[-1][0] + 1
    return Batch(journal=journal, first=first, upto=upto, entries=records, prices=prices)


def lost(ended: Entry, held: int = 50_000, found_us: int = 0) -> Entry:
    """The same call, had its process died before it wrote the end; found when it ended, or then."""
    start = msgspec.structs.replace(start_of(ended), held=Nano(held))
    return unsettled(start, found_us or ended.ended_us)


def start_of(ended: Entry) -> Start:
    """The start that belongs to an entry."""
    return Start(
        request_id=ended.request_id,
        attempt=ended.attempt,
        org_id=ended.org_id,
        app_id=ended.app_id,
        app=ended.app,
        key_id=ended.key_id,
        provider=ended.provider,
        model=ended.model,
        streamed=ended.streamed,
        end_user=ended.end_user,
        labels=ended.labels,
        funding=ended.funding,
        started_us=ended.started_us,
    )


def make_org(db: Connection, name: str = "acme", billing_email: str | None = None) -> OrgId:
    """A new organisation with a creator of its own."""
    user: UserId = create_user(
        db, email=f"{name}@example.com", name=name, token=f"token of {name}", now_us=NOON_US
    )
    org = OrgId(new_id(NOON_US))
    create_org(
        db,
        org,
        org_name=name,
        display_name=None,
        billing_email=billing_email,
        creator=user,
        tier="_INTERNAL_",
        now_us=NOON_US,
    )
    return org


def make_app(db: Connection, org: OrgId, slug: str = "app", benchmark_model: str | None = None) -> AppId:
    """A new app that the organisation's creator made; it has no key yet."""
    creator = db.execute(select(orgs.c.org_creator).where(orgs.c.id == org)).scalar_one()
    return create_app(
        db,
        org,
        slug=slug,
        name=slug,
        description=None,
        logo=None,
        benchmark_model=benchmark_model,
        creator=UserId(creator),
        now_us=NOON_US,
    )


def _as_its_outcome(made: Entry) -> Entry:
    """Nothing is known of an unsettled attempt but what it may cost at most."""
    if made.is_known:
        return made
    return msgspec.structs.replace(
        made, units={}, cost=NOTHING, vendor_cost=NOTHING, benchmark=None, held=Nano(made.attempt)
    )


_counts = st.integers(0, 10**9)
_money = st.integers(-(10**15), 10**15).map(Nano)
_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
_maybe = st.none() | _text
_times = st.integers(NOON_US - 10**14, NOON_US + 10**14)
_costs = st.builds(
    Cost,
    version=_text,
    by_unit=st.dictionaries(st.sampled_from(Unit), _money, max_size=4),
    prompt=_money,
    completion=_money,
)

entries: st.SearchStrategy[Entry] = st.builds(
    Entry,
    request_id=st.uuids().map(str),
    attempt=st.integers(1, 2**31 - 1),
    final=st.booleans(),
    kind=st.sampled_from(EntryKind),
    outcome=st.sampled_from(Outcome),
    status=st.integers(100, 599),
    error_code=_maybe,
    org_id=st.uuids().map(str),
    app_id=_text,
    app=_text,
    key_id=_text,
    provider=_text,
    model=_text,
    service_tier=_maybe,
    streamed=st.booleans(),
    end_user=_maybe,
    labels=st.dictionaries(_text, _text, max_size=3),
    funding=_maybe,
    units=st.dictionaries(st.sampled_from(Unit), _counts, max_size=5),
    cost=_costs,
    vendor_cost=_costs,
    rate_card=_maybe,
    benchmark_model=_maybe,
    benchmark=st.none() | _costs,
    started_us=_times,
    ended_us=_times,
    first_token_us=st.none() | st.integers(0, 2**40),
).map(_as_its_outcome)
"""Any entry that the ledger can hold: every field, odd characters and negative amounts included."""
