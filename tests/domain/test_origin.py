"""What is an origin, as browsers write it."""

import pytest

from tollway.domain.origin import parse_origins


def test_a_list_of_origins_is_taken_as_it_is_written() -> None:
    assert parse_origins(" https://a.example.com,http://localhost:3000 ,http://[::1]:80") == (
        "https://a.example.com",
        "http://localhost:3000",
        "http://[::1]:80",
    )
    assert parse_origins("") == ()


@pytest.mark.parametrize(
    "text",
    ["*", "null", "https://*.example.com", "https://a.example.com/", "a.example.com", "https://A.example"],
)
def test_what_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        parse_origins(f"https://fine.example.com,{text}")
