"""What letters say: one function for each kind, from what was written into the outbox.

Owns subjects and sentences; does not own their form as mail (`message.py`) or who gets them. A new
kind is a function and a line in TEXTS. Names that tenants chose are cut and kept on one line.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tollway.store.outbox import Content

MAX_NAME_CHARS = 80
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A letter's text. `link` is what its button says, and where that leads; `why` it came."""

    subject: str
    lines: Sequence[str]
    facts: Sequence[tuple[str, str]] = ()
    link: tuple[str, str] | None = None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What texts may say of whom they are about: the organisation's names, and where Tollway is."""

    org_name: str
    display_name: str
    public_url: str = ""
    invite_link: str = ""

    @property
    def name(self) -> str:
        """The organisation as its people call it."""
        return plain(self.display_name)

    @property
    def home(self) -> tuple[str, str] | None:
        """The link to this installation, where it is known."""
        return ("Open Tollway", self.public_url) if self.public_url else None

    @property
    def why(self) -> str:
        """Why an organisation's people are told."""
        return f"You get this because you look after the organisation {self.org_name} on Tollway."


Text = Callable[[Content, Setting], Words]


def _soft_limit(content: Content, setting: Setting) -> Words:
    limit = dollars(content["limit"])
    return Words(
        subject=f"{setting.name} has reached its soft spending limit of {limit}",
        lines=(
            f"{setting.name} has reached its soft spending limit in this billing cycle.",
            "Calls go on. You are told once in each cycle.",
        ),
        facts=_spending("Soft limit", content),
        link=setting.home,
        why=setting.why,
    )


def _hard_limit(content: Content, setting: Setting) -> Words:
    limit = dollars(content["limit"])
    return Words(
        subject=f"{setting.name} has reached its hard spending limit of {limit}: calls are refused",
        lines=(
            f"{setting.name} has reached its hard spending limit in this billing cycle.",
            "Calls are refused until the limit is raised or the next cycle begins.",
        ),
        facts=_spending("Hard limit", content),
        link=setting.home,
        why=setting.why,
    )


def _refused(content: Content, setting: Setting) -> Words:
    receiver = {"prom": "Prometheus", "loki": "Loki"}[content["kind"]]
    return Words(
        subject=f"The {receiver} of {setting.name} refuses what Tollway sends",
        lines=(
            f"What Tollway pushes to your {receiver} is refused.",
            "Most often its user, its token or its address has changed.",
            "It is tried again every few minutes. You are told once, until it has worked again.",
        ),
        facts=(("Address", plain(content["endpoint"], 500)), ("Its answer", plain(content["answer"], 500))),
        link=setting.home,
        why=setting.why,
    )


def _invite(content: Content, setting: Setting) -> Words:
    by, org = plain(content["invited_by"]), plain(content["org_name"])
    return Words(
        subject=f"{by} invites you to {org}",
        lines=(
            f"{by} invites you to join the organisation {org} on Tollway.",
            f"The invite is open until {when(content['expires'])}.",
            "It is for this address only: sign in with it.",
        ),
        link=("Answer the invite", setting.invite_link),
        why="If you do not know who that is, do nothing: without an answer the invite ends by itself.",
    )


TEXTS: Mapping[str, Text] = {
    "alert.soft_limit": _soft_limit,
    "alert.hard_limit": _hard_limit,
    "integration.refused": _refused,
    "invite": _invite,
}
"""By kind. What is not here stays in the outbox, for a process that knows it."""


def _spending(name: str, content: Content) -> tuple[tuple[str, str], ...]:
    return (
        (name, dollars(content["limit"])),
        ("Spent", dollars(content["spent"])),
        ("Billing cycle", f"{when(content['cycle_start'])} to {when(content['cycle_end'])}"),
    )


def dollars(text: str) -> str:
    """Exact decimal text as people read it: `$1,234.50`; what is below a cent in full."""
    amount = Decimal(text)
    if amount and abs(amount) < _CENT:
        return f"${amount:f}"
    return f"${amount.quantize(_CENT):,f}"


def when(text: str) -> str:
    """A moment as people read it: `1 March 2026`, `1 March 2026, 12:30 UTC`."""
    at = datetime.fromisoformat(text)
    day = f"{at.day} {at:%B %Y}"
    return day if (at.hour, at.minute) == (0, 0) else f"{day}, {at:%H:%M} UTC"


def plain(text: str, most: int = MAX_NAME_CHARS) -> str:
    """What others wrote, on one line and not too long."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
