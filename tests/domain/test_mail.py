"""Mail servers and addresses: what is understood, and what is refused without being repeated."""

import pytest

from tollway.domain.mail import MailServer, parse_address, parse_mail, parse_sender

SENDER = "tollway@example.com"


def server(url: str) -> MailServer:
    found = parse_mail(url, SENDER)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("smtp://mail.example.com", "mail.example.com", 587, "offered"),
        ("smtp://mail.example.com:25/", "mail.example.com", 25, "offered"),
        ("smtp+starttls://mail.example.com", "mail.example.com", 587, "required"),
        ("smtps://mail.example.com", "mail.example.com", 465, "implicit"),
        ("smtps://[::1]:2465", "::1", 2465, "implicit"),
    ],
)
def test_a_server_is_host_port_and_how_it_encrypts(url: str, host: str, port: int, tls: str) -> None:
    found = server(url)
    assert (found.host, found.port, found.tls) == (host, port, tls)
    assert (found.user, found.password, found.sender.addr_spec) == (None, None, SENDER)


def test_a_password_is_decoded_and_not_shown() -> None:
    found = server("smtps://me%40example.com:p%40ss%2Fword-1@mail.example.com")
    assert found.user == "me@example.com"
    assert found.password is not None
    assert found.password.reveal() == "p@ss/word-1"
    assert "p@ss" not in repr(found) + str(found)


@pytest.mark.parametrize(
    ("host", "is_near"),
    [
        ("127.0.0.1", True),
        ("[::1]", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("a.example.com", False),
    ],
)
def test_which_servers_are_on_this_machine(host: str, is_near: bool) -> None:
    assert server(f"smtp://{host}").is_near is is_near


def test_without_a_url_there_is_none() -> None:
    assert parse_mail("", "") is None
    assert parse_mail("", SENDER) is None


@pytest.mark.parametrize(
    ("url", "sender", "said"),
    [
        ("mail.example.com", SENDER, "smtp_url: smtp://host:port"),
        ("https://hidden.example.com", SENDER, "smtp_url: smtp://host:port"),
        ("smtp://hidden:25x", SENDER, "smtp_url: smtp://host:port"),
        ("smtp://[hidden", SENDER, "smtp_url: smtp://host:port"),
        ("smtp://:25", SENDER, "smtp_url: smtp://host:port"),
        ("smtp://hidden/path", SENDER, "smtp_url: smtp://host:port"),
        ("smtp://hidden?x", SENDER, "smtp_url: smtp://host:port"),
        ("smtp://hidden#x", SENDER, "smtp_url: smtp://host:port"),
        ("smtp://hidden@a.example.com", SENDER, "smtp_url: a user and a password, or neither"),
        ("smtp://a:hidden%0d@a.example.com", SENDER, "smtp_url: no control"),
        ("smtp://a.example.com", "", "mail_from: letters need a sender"),
        ("", "nobody", "mail_from: 'nobody' is no address"),
        ("", "Me tollway@example.com", "mail_from: an address: tollway@example.com, or"),
        ("", "Me <tollway@example.com>\r\nBcc: x@example.com", "mail_from: an address"),
        ("", "jürgen@example.com", "mail_from: an address"),
        ("", "a b@example.com", "mail_from: "),
    ],
)
def test_what_is_wrong_is_named_and_not_repeated(url: str, sender: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^(smtp_url|mail_from): ") as caught:
        parse_mail(url, sender)
    assert str(caught.value).startswith(said)
    assert "hidden" not in str(caught.value)


def test_a_sender_may_have_a_name() -> None:
    found = parse_sender("The Tollway, Inc <tollway@example.com>")
    assert (found.display_name, found.addr_spec) == ("The Tollway, Inc", SENDER)
    assert parse_sender('"Tollway" <tollway@example.com>').display_name == "Tollway"
    assert parse_sender(SENDER).display_name == ""


def test_a_domain_in_other_letters_becomes_ascii() -> None:
    assert parse_address("ada@bücher.example").addr_spec == "ada@xn--bcher-kva.example"
    assert parse_address("jürgen@example.com").addr_spec == "jürgen@example.com"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "a@b@example.com",
        "ada@example.com,eve@example.com",
        "Ada <ada@example.com>",
        "ada@example.com>",
        '"a b"@example.com',
        "ada@example.com\r\nBcc: eve@example.com",
        "ada@exam\u200bple.com",
        "ada@a..example.com",
        f"ada@{'a' * 70}.example.com",
    ],
)
def test_what_no_mail_can_go_to_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no address that mail can go to"):
        parse_address(text)
