"""What letters say, word for word."""

from typing import Any

import pytest

from tests.notices.offices import LIMIT
from tollway.notices.letters import TEXTS, Setting, Words, dollars, plain, when

SETTING = Setting(
    org_name="acme",
    display_name="Acme Inc",
    public_url="https://tollway.example.com",
    invite_link="https://app.example.com/join?token=1",
)
CYCLE = "1 March 2026 to 1 April 2026"


def words(kind: str, content: dict[str, Any]) -> Words:
    return TEXTS[kind](content, SETTING)


@pytest.mark.parametrize(
    ("kind", "subject", "name"),
    [
        ("alert.soft_limit", "Acme Inc has reached its soft spending limit of $5.00", "Soft limit"),
        (
            "alert.hard_limit",
            "Acme Inc has reached its hard spending limit of $5.00: calls are refused",
            "Hard limit",
        ),
    ],
)
def test_a_limit_that_is_reached(kind: str, subject: str, name: str) -> None:
    said = words(kind, LIMIT)
    assert said.subject == subject
    assert said.facts == ((name, "$5.00"), ("Spent", "$5.25"), ("Billing cycle", CYCLE))
    assert said.link == ("Open Tollway", "https://tollway.example.com")
    assert "acme" in said.why


@pytest.mark.parametrize(("kind", "name"), [("prom", "Prometheus"), ("loki", "Loki")])
def test_a_receiver_that_refuses(kind: str, name: str) -> None:
    said = words(
        "integration.refused", {"kind": kind, "endpoint": "https://r.example.com", "answer": "401 no"}
    )
    assert said.subject == f"The {name} of Acme Inc refuses what Tollway sends"
    assert said.facts == (("Address", "https://r.example.com"), ("Its answer", "401 no"))


def test_an_invite() -> None:
    content = {"invited_by": "Ada", "org_name": "acme", "expires": "2026-03-17T12:00:00.000000Z"}
    said = words("invite", content)
    assert said.subject == "Ada invites you to acme"
    assert "The invite is open until 17 March 2026, 12:00 UTC." in said.lines
    assert said.link == ("Answer the invite", "https://app.example.com/join?token=1")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("5", "$5.00"),
        ("1234567.891", "$1,234,567.89"),
        ("0", "$0.00"),
        ("0.01", "$0.01"),
        ("0.000000001", "$0.000000001"),
        ("0.0025", "$0.0025"),
    ],
)
def test_money_is_readable(text: str, shown: str) -> None:
    assert dollars(text) == shown


def test_times_are_readable() -> None:
    assert when("2026-03-01T00:00:00.000000Z") == "1 March 2026"
    assert when("2026-12-31T23:59:59.999999Z") == "31 December 2026, 23:59 UTC"


def test_what_others_wrote_is_cut_and_stays_on_its_line() -> None:
    assert plain(" a\r\n\tb\u2028c\u202ed ") == "a b c d"
    assert plain("x" * 81) == "x" * 79 + "…"
    assert plain("x" * 80) == "x" * 80
