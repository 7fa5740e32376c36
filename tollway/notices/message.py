"""A letter as mail: headers, plain text, and the same in HTML.

Owns the form; does not own a word (`letters.py`). Whatever the words hold, it stays text in HTML and
one line in a header. The Message-ID is made from the letter's id, so that a letter which comes twice
can be known by it.
"""

from collections.abc import Iterator, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape

from tollway.domain.clock import moment
from tollway.notices.letters import Words, plain

_MAX_SUBJECT_CHARS = 200
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{subject}</title></head>
<body style="margin:0;padding:24px;background:#ffffff;color:#1c1e21;\
font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif">
<div style="max-width:36em;margin:0 auto">
{body}
<p style="margin-top:32px;color:#5f6368;font-size:13px">{why}</p>
</div>
</body>
</html>
"""
_BUTTON = (
    '<p style="margin:24px 0"><a href="{url}" style="background:#1a56c4;color:#ffffff;padding:10px 18px;'
    'border-radius:6px;text-decoration:none">{label}</a></p>\n<p style="font-size:13px">Or copy this '
    'address: <span style="word-break:break-all">{url}</span></p>'
)
_FACT = (
    '<tr><td style="padding:4px 16px 4px 0;color:#5f6368;vertical-align:top">{name}</td>'
    '<td style="padding:4px 0;word-break:break-word">{value}</td></tr>'
)


def mail_of(words: Words, *, id_: str, added_us: int, sender: Address, to: Sequence[Address]) -> bytes:
    """The mail, as it is sent. It is the same for each attempt, but for `to`."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = tuple(to)
    message["Subject"] = plain(words.subject, _MAX_SUBJECT_CHARS)
    message["Date"] = format_datetime(moment(added_us))
    message["Message-ID"] = f"<{id_}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # so that no absence note answers
    message.set_content("\n".join(_plain_lines(words)) + "\n", cte="quoted-printable")
    message.add_alternative(_html(words), subtype="html", cte="quoted-printable")
    is_ascii = all(address.addr_spec.isascii() for address in to)
    return message.as_bytes(policy=SMTP.clone(utf8=not is_ascii))


def _plain_lines(words: Words) -> Iterator[str]:
    for line in words.lines:
        yield from (line, "")
    if words.facts:
        width = max(len(name) for name, _ in words.facts) + 2
        yield from (f"{name + ':':<{width}}{value}" for name, value in words.facts)
        yield ""
    if words.link:
        label, url = words.link
        yield from (f"{label}:", url, "")
    yield from ("-- ", words.why)


def _html(words: Words) -> str:
    parts = [f"<p>{escape(line)}</p>" for line in words.lines]
    if words.facts:
        rows = (_FACT.format(name=escape(name), value=escape(value)) for name, value in words.facts)
        parts.append(f'<table style="border-collapse:collapse">{"".join(rows)}</table>')
    if words.link:
        label, url = words.link
        parts.append(_BUTTON.format(label=escape(label), url=escape(url)))
    body = "\n".join(parts)
    return _PAGE.format(subject=escape(words.subject), body=body, why=escape(words.why))
