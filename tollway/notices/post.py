"""The post: takes letters that are due, has them sent, and notes what became of each.

A letter is in one process's hands for a while, so each is normally sent once; it is noted after it was
sent, so none is lost, and one whose process died in between is sent again with the same Message-ID.
Owns that order; does not own pauses and leases (`store/outbox.py`), texts or SMTP.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from email.headerregistry import Address

from tollway.domain.clock import Clock
from tollway.domain.mail import parse_address
from tollway.notices.letters import TEXTS, Setting
from tollway.notices.mail import Mailer, MailUnavailable, Refusal, Session
from tollway.notices.message import mail_of
from tollway.store.database import Database
from tollway.store.invites import letter_context
from tollway.store.outbox import (
    Letter,
    Outcome,
    has_due,
    has_unlogged,
    log_letters,
    note_letter,
    take_letters,
)
from tollway.store.vault import Vault, VaultError

LOOK_FOR_LETTERS_S = 2.0

_NOBODY = Outcome(sent=False, error="there is nobody to send it to: set the billing e-mail")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What sending needs. Without a `mailer` letters stay where they are, and the log says so once."""

    database: Database
    vault: Vault
    clock: Clock
    mailer: Mailer | None
    public_url: str

    async def deliver_due(self) -> None:
        """Send all that is due, or as much as the mail server takes. StoreUnavailable."""
        if self.mailer is None:
            await self._log_waiting()
            return
        kinds, now_us, database = tuple(TEXTS), self.clock.now_us, self.database
        while await database.read(has_due, kinds, now_us()):
            letters = await database.write(take_letters, kinds, now_us())
            if not letters or not await _Round(self, self.mailer).deliver(letters):
                return  # others have what is due, or it is to wait

    async def _log_waiting(self) -> None:
        if await self.database.read(has_unlogged):
            for kind, org_name in await self.database.write(log_letters, self.clock.now_us()):
                _log.warning("a letter (%s) to %s waits: there is no smtp_url", kind, org_name)


class _Round:
    """One batch: a session that is opened when it is needed, and again after it broke."""

    def __init__(self, post: Post, mailer: Mailer) -> None:
        self._post = post
        self._mailer = mailer
        self._session: Session | None = None

    async def deliver(self, letters: Sequence[Letter]) -> bool:
        """Whether the server could be reached; after it could not, the rest is put off as well."""
        unreachable: str | None = None
        try:
            for letter in letters:
                outcome = _put_off(letter, unreachable)
                if unreachable is None:
                    try:
                        outcome = await self._attempt(letter)
                    except MailUnavailable as error:
                        unreachable = str(error)
                        outcome = _put_off(letter, unreachable)
                await self._note(letter, outcome)
        finally:
            await self._close()
        return unreachable is None

    async def _attempt(self, letter: Letter) -> Outcome:
        """MailUnavailable if there is no way to the server."""
        if not letter.to:
            return _NOBODY
        addresses, refused = _addresses(letter.to)
        try:
            message = self._compose(letter, list(addresses.values()))
        except VaultError as error:  # the key may come back
            return _put_off(letter, f"its link does not open: {error}")
        except (KeyError, ValueError, ArithmeticError, TypeError) as error:
            _log.exception("a letter (%s) to %s cannot be written", letter.kind, letter.org_name)
            return Outcome(sent=False, error=f"no text can be made of it: {type(error).__name__}")
        if addresses:
            if self._session is None:
                self._session = await self._mailer.open()
            specs = {address.addr_spec: name for name, address in addresses.items()}
            try:
                answers = await self._session.send(message, list(specs))
            except MailUnavailable as error:
                await self._close()
                return _put_off(letter, str(error))
            refused |= {specs[spec]: answer for spec, answer in answers.items()}
        return Outcome(
            sent=len(refused) < len(letter.to),
            again=[name for name, each in refused.items() if not each.is_final],
            error="; ".join(f"{name}: {each.said}" for name, each in refused.items()) or None,
        )

    def _compose(self, letter: Letter, to: Sequence[Address]) -> bytes:
        content = letter.content
        link = ""
        if "link_sealed" in content:
            context = letter_context(letter.org, content["invite_id"])
            link = self._post.vault.open(content["link_sealed"], context).reveal()
        setting = Setting(
            org_name=letter.org_name,
            display_name=letter.display_name,
            public_url=self._post.public_url,
            invite_link=link,
        )
        words = TEXTS[letter.kind](content, setting)
        sender = self._mailer.sender
        return mail_of(words, id_=letter.id, added_us=letter.added_us, sender=sender, to=to)

    async def _note(self, letter: Letter, outcome: Outcome) -> None:
        post = self._post
        now_us = post.clock.now_us()
        is_given_up = await post.database.write(note_letter, letter.org, letter, outcome, now_us)
        if is_given_up:
            _log.warning("a letter (%s) to %s is given up", letter.kind, letter.org_name)

    async def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _addresses(names: Sequence[str]) -> tuple[dict[str, Address], dict[str, Refusal]]:
    """Those that mail can go to, by how they were written; and those that it cannot."""
    found: dict[str, Address] = {}
    refused: dict[str, Refusal] = {}
    for name in names:
        try:
            found[name] = parse_address(name)
        except ValueError:
            refused[name] = Refusal(is_final=True, said="not an address that mail can go to")
    return found, refused


def _put_off(letter: Letter, why: str | None) -> Outcome:
    return Outcome(sent=False, again=tuple(letter.to), error=why)
