"""The tree of errors: each has its status and its code, and the drawing is right."""

import re
from collections.abc import Iterator

import pytest

from tollway.domain import errors
from tollway.domain.errors import (
    Fault,
    Invalid,
    ModelNotFound,
    NotPriced,
    StoreRefused,
    StoreUnavailable,
    TollwayError,
    VendorError,
)


def tree(kind: type[TollwayError]) -> Iterator[type[TollwayError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


KINDS = [kind for kind in tree(TollwayError) if kind.__module__ == errors.__name__]


def test_the_drawing_at_the_top_is_the_tree() -> None:
    drawn = dict(re.findall(r"── (\w+)\s+(\d{3})", errors.__doc__ or ""))
    assert drawn == {kind.__name__: str(kind.status) for kind in KINDS[1:]}


def test_every_code_is_its_own_and_a_stable_word() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_only_what_may_pass_by_itself_is_worth_another_try() -> None:
    assert {kind.status for kind in KINDS if kind.retryable} == {429, 502, 503, 504}
    assert {kind.status for kind in KINDS if not kind.retryable} == {
        400,
        401,
        402,
        403,
        404,
        409,
        412,
        413,
        422,
        500,
    }


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Invalid])
def test_an_error_is_a_sentence_with_a_code_and_a_parameter(kind: type[TollwayError]) -> None:
    plain = kind("It went wrong.")
    assert (str(plain), plain.code, plain.param) == ("It went wrong.", kind.code, None)
    special = kind("It went wrong.", code="special", param="model")
    assert (special.code, special.param) == ("special", "model")
    assert kind("again").code == kind.code


def test_an_invalid_request_tells_every_fault_and_its_place() -> None:
    faults = [
        Fault(loc=("body", "prom", "token"), msg="a token is missing", type="missing"),
        Fault(loc=("body", "loki", 0), msg="not an object", type="dict_type"),
    ]
    error = Invalid(*faults)
    assert error.faults == tuple(faults)
    assert str(error) == "a token is missing; not an object"
    assert (error.status, error.code, error.param) == (422, "invalid", None)


def test_what_was_refused_for_the_model_can_be_told_apart_by_its_status() -> None:
    assert (ModelNotFound.status, NotPriced.status, VendorError.status) == (404, 402, 502)
    assert NotPriced.code == "model_not_priced"


def test_callers_are_not_told_what_the_database_said() -> None:
    said = "connection to server at 192.0.2.7 failed"
    for error in (StoreUnavailable(said), StoreRefused(said)):
        assert str(error) == said
        assert "192.0.2.7" not in error.told
    assert TollwayError("no").told == "no"
