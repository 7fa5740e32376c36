"""Money in requests: a JSON number is taken as it is written, never through a float."""

import json
from decimal import Decimal
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tollway.domain.money import Nano, usd
from tollway.domain.subscription import MAX_NANO
from tollway.web.exact import Decimal as AnyDecimal
from tollway.web.exact import Dollars, ExactRequest, ExactRoute, PositiveDollars
from tollway.web.fields import Body

DOLLARS: TypeAdapter[Nano] = TypeAdapter(Dollars)
POSITIVE: TypeAdapter[Nano] = TypeAdapter(PositiveDollars)


async def read(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """The body's value, as a route reads it."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": text.encode(), "more_body": False}

    return await ExactRequest({"type": "http", "headers": []}, receive).json()


@settings(deadline=None, max_examples=200)
@given(st.integers(0, MAX_NANO))
async def test_every_amount_comes_through_to_the_nano_dollar(nano: int) -> None:
    assert DOLLARS.validate_python(await read(usd(nano))) == nano
    scientific = f"{nano}e-9"
    assert DOLLARS.validate_python(await read(scientific)) == nano


@settings(deadline=None, max_examples=200)
@given(st.decimals(allow_nan=False, allow_infinity=False) | st.integers(-(10**40), 10**40).map(Decimal))
async def test_an_amount_is_exact_or_refused(amount: Decimal) -> None:
    value = await read(str(amount))
    exact = amount.scaleb(9) if abs(amount.adjusted()) < 40 else None
    fits = exact is not None and exact == exact.to_integral_value() and 0 <= exact <= MAX_NANO
    if fits:
        assert DOLLARS.validate_python(value) == exact
    else:
        with pytest.raises(ValidationError):
            DOLLARS.validate_python(value)


async def test_only_money_may_have_a_point() -> None:
    for text in ("1.0", "1e3", "NaN", "-Infinity", "9" * 40):
        value = await read(text)
        for kind in (int, float, str, bool):
            with pytest.raises(ValidationError):
                TypeAdapter(kind).validate_python(value, strict=True)
    assert await read('{"a": [1, "x", null, true]}') == {"a": [1, "x", None, True]}


async def test_nothing_is_not_more_than_nothing() -> None:
    for text in ("0", "0.0", "-0", "0e5"):
        value = await read(text)
        assert DOLLARS.validate_python(value) == 0
        with pytest.raises(ValidationError, match="more than 0 dollars"):
            POSITIVE.validate_python(value)
    assert POSITIVE.validate_python(await read("1e-9")) == 1


def test_the_description_says_that_it_is_a_number_and_its_bounds() -> None:
    class Put(Body):
        limit: Dollars
        share: PositiveDollars

    router = APIRouter(route_class=ExactRoute)

    @router.put("/limit")
    async def put(body: Put) -> None: ...

    api = FastAPI()
    api.include_router(router)
    described = api.openapi()["components"]["schemas"]["Put"]["properties"]
    assert json.loads(json.dumps(described["limit"])) == {
        "type": "number",
        "minimum": 0,
        "maximum": 1_000_000_000,
        "description": "dollars, exact, at most nine decimals",
        "title": "Limit",
    }
    assert described["share"]["exclusiveMinimum"] == 0


NUMBER: TypeAdapter[float] = TypeAdapter(AnyDecimal)


@pytest.mark.parametrize(
    ("text", "number"), [("0.1", 0.1), ("-3", -3.0), ("25e-1", 2.5), ("1" * 40, 1e40 / 9)]
)
async def test_a_number_that_is_no_money_is_a_float(text: str, number: float) -> None:
    assert NUMBER.validate_python(await read(text)) == pytest.approx(number)


@pytest.mark.parametrize("text", ["true", "null", '"1"', "NaN", "Infinity", "1e999", "[1]"])
async def test_what_is_no_finite_number_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        NUMBER.validate_python(await read(text))
