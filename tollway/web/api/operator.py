"""`/v1/operator`: what only the operator may see and do, for any organisation."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BeforeValidator, Field

from tollway.control import rate_cards
from tollway.domain.clock import moment
from tollway.domain.errors import NotFound
from tollway.domain.ids import OrgId, is_id
from tollway.domain.tariff import effective_us
from tollway.store.rate_cards import StoredCard
from tollway.web.bearer import TheOperator, TheWorld
from tollway.web.fields import Body, Name

router = APIRouter(prefix="/v1/operator", tags=["operator"], dependencies=[TheOperator])


def _decimal(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, int | float):
        raise ValueError(  # noqa: TRY004 - pydantic makes a fault of it, and of a TypeError a 500
            'write the amount as text, "1.25": a JSON number does not hold money exactly'
        )
    return value


def _moment(value: Any) -> Any:  # noqa: ANN401 - as above
    return moment(effective_us(value)) if isinstance(value, str) else value


Amount = Annotated[str, BeforeValidator(_decimal)]
Moment = Annotated[datetime, BeforeValidator(_moment)]


class RateCardPut(Body):
    """A card to be; what it does not name costs what the vendor asks, times the markup."""

    effective_from: Annotated[
        Moment | None, Field(description="UTC where it says no zone; left out or null: from now on.")
    ] = None
    markup: Annotated[Amount | None, Field(description='A factor as text: "1.25". Null is "1".')] = None
    prices: Annotated[
        dict[Name, dict[str, Amount]] | None,
        Field(
            description=(
                "By model, as /v1/models names them; then by unit, $ per million tokens as text: "
                '{"openai/gpt-4.1": {"input": "3.00", "output": "12.00"}}.'
            )
        ),
    ] = None


class RateCardShown(Body):
    """A card, as it was put."""

    id: str
    effective_from: datetime
    markup: str | None
    prices: dict[str, dict[str, str]] | None
    added_on: datetime


class RateCards(Body):
    """An organisation's cards."""

    rate_cards: list[RateCardShown]


@router.put("/orgs/{org_id}/rate_card", status_code=201, response_model=RateCardShown)
async def put_rate_card(org_id: str, body: RateCardPut, world: TheWorld) -> RateCardShown:
    """What the organisation is charged, from a moment on. A card with markup "1" and no prices ends one."""
    org = _org(org_id)
    when = None if body.effective_from is None else effective_us(body.effective_from)
    rate_cards.require_usable(world.gateway.catalog, body.markup, body.prices or {})
    made = await world.database.write(
        rate_cards.put_card,
        org,
        effective_us=when,
        markup=body.markup,
        prices=body.prices,
        now_us=world.clock.now_us(),
    )
    return _shown(made)


@router.get("/orgs/{org_id}/rate_card", response_model=RateCards)
async def list_rate_cards(org_id: str, world: TheWorld) -> RateCards:
    """The organisation's cards, those to come first; at most 100."""
    cards = await world.database.read(rate_cards.list_cards, _org(org_id))
    return RateCards(rate_cards=[_shown(card) for card in cards])


def _org(org_id: str) -> OrgId:
    if not is_id(org_id):
        raise NotFound("there is no such organisation", code="organisation_not_found")
    return OrgId(org_id)


def _shown(card: StoredCard) -> RateCardShown:
    return RateCardShown(
        id=card.id,
        effective_from=moment(card.effective_us),
        markup=card.markup,
        prices=None if card.prices is None else {model: dict(each) for model, each in card.prices.items()},
        added_on=moment(card.added_us),
    )
