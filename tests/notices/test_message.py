"""Letters as mail: what tenants typed stays text, on one line, in any script."""

from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default

import pytest

from tests.notices.offices import LIMIT
from tests.world.clock import NOON_US
from tollway.domain.mail import parse_address, parse_sender
from tollway.notices.letters import TEXTS, Setting, Words
from tollway.notices.message import mail_of

ADA = Address(addr_spec="ada@example.com")
EVIL = 'Acme\r\nBcc: eve@example.com\r\n\r\n<script>alert("1")</script> & Söhne 株式会社'


def sent(words: Words) -> EmailMessage:
    """What whoever gets the letter reads."""
    made = mail_of(
        words, id_="letter-1", added_us=NOON_US, sender=parse_sender("Töllway <t@example.com>"), to=[ADA]
    )
    got = message_from_bytes(made, policy=default)
    assert isinstance(got, EmailMessage)
    return got


def text_of(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    assert part is not None
    return str(part.get_content())


def alert(display_name: str = "Acme", public_url: str = "") -> Words:
    setting = Setting(org_name="acme", display_name=display_name, public_url=public_url)
    return TEXTS["alert.soft_limit"](LIMIT, setting)


def test_the_headers_are_the_letters_own() -> None:
    got = sent(alert())
    assert got["Message-ID"] == "<letter-1@example.com>"
    assert got["From"].addresses[0].display_name == "Töllway"
    assert (got["To"], got["Date"]) == ("ada@example.com", "Tue, 10 Mar 2026 12:00:00 +0000")
    assert got["Auto-Submitted"] == "auto-generated"
    assert got["Subject"] == "Acme has reached its soft spending limit of $5.00"


def test_a_name_adds_no_header_and_no_markup() -> None:
    got = sent(alert(EVIL))
    assert {"Bcc", "bcc"}.isdisjoint(got.keys())
    assert "株式会社" in got["Subject"]
    assert "\n" not in got["Subject"]
    html, plain = text_of(got, "html"), text_of(got, "plain")
    assert "<script" not in html
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; Söhne 株式会社" in html
    assert '<script>alert("1")</script> & Söhne 株式会社' in plain


def test_a_link_is_escaped_in_html_and_whole_in_text() -> None:
    link = 'https://app.example.com/join?a=1&b="x"'
    setting = Setting(org_name="acme", display_name="Acme", invite_link=link)
    content = {"invited_by": "Ada", "org_name": "Acme", "expires": "2026-03-17T12:00:00.000000Z"}
    got = sent(TEXTS["invite"](content, setting))
    assert f"\n{link}\n" in text_of(got, "plain").replace("\r\n", "\n")
    assert 'href="https://app.example.com/join?a=1&amp;b=&quot;x&quot;"' in text_of(got, "html")


@pytest.mark.parametrize("name", ["x" * 5_000, "語" * 5_000, " ", "\0"])
def test_names_of_any_length_make_a_mail(name: str) -> None:
    got = sent(alert(name))
    assert len(got["Subject"]) <= 200
    assert "$5.00" in text_of(got, "plain")


def test_it_leads_home_where_home_is_known() -> None:
    assert "https://tollway.example.com" in text_of(
        sent(alert(public_url="https://tollway.example.com")), "html"
    )
    assert "href" not in text_of(sent(alert()), "html")


def test_an_address_in_other_letters_stays_as_it_is() -> None:
    made = mail_of(
        alert(),
        id_="1",
        added_us=NOON_US,
        sender=parse_sender("t@example.com"),
        to=[parse_address("jürgen@bücher.example")],
    )
    assert "To: jürgen@xn--bcher-kva.example\r\n".encode() in made
