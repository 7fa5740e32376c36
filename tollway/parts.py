"""The parts of a process, each made from settings. What settings make impossible is a SettingsError.

Owns which setting goes into which part; does not own what runs, or when (`world.py`).
"""

import socket
from collections.abc import Mapping
from pathlib import Path

from tollway.domain.caller import Caller
from tollway.domain.clock import Clock
from tollway.domain.ids import JournalId, new_id
from tollway.domain.lease import Order, Terms
from tollway.domain.plan import Plans
from tollway.domain.price import History
from tollway.gateway.live import Loader
from tollway.limits.limits import Lender
from tollway.metering.disk import Disk
from tollway.metering.journal import Journal
from tollway.metering.recovery import Recovery
from tollway.notices.mail import Mailer
from tollway.notices.post import Post
from tollway.providers.catalog import Catalog, Configured, Vendor
from tollway.providers.connection import VendorConnection
from tollway.providers.prices import compile_configured
from tollway.push.addresses import LookUp, Resolver, ask_the_system
from tollway.push.delivery import Outbound
from tollway.settings import Settings, SettingsError
from tollway.store.apps import find_caller
from tollway.store.database import Database
from tollway.store.deployment import identify
from tollway.store.key_file import parse_key, read_or_make_key
from tollway.store.leases import exchange
from tollway.store.vault import Vault


def journal_folder(settings: Settings, deployment: str) -> Path:
    """Where the journals of this data folder lie: those of another deployment's database lie elsewhere."""
    return Path(settings.data_dir).resolve() / "journal" / deployment


async def open_recovery(settings: Settings, database: Database, clock: Clock) -> Recovery:
    """The journals of this data folder, for commands that run beside a server or without one."""
    deployment = await database.write(identify, clock.now_us())
    return Recovery(Disk(journal_folder(settings, deployment)), database, clock)


def place_of(disk: Disk) -> str:
    """Where an operator finds a journal: host and folder."""
    return f"{socket.gethostname()}:{disk.root}"


def journal_of(settings: Settings, disk: Disk, clock: Clock) -> Journal:
    """This process's journal, a new one; SettingsError if none can be kept."""
    try:
        return Journal(
            disk,
            JournalId(new_id(clock.now_us())),
            clock,
            segment_bytes=settings.journal_segment_bytes,
            max_bytes=settings.journal_max_bytes,
            fsync=settings.journal_fsync,
        )
    except OSError as error:
        raise SettingsError(f"data_dir: no journal can be kept there: {error}") from None


def loader_of(database: Database, clock: Clock, plans: Plans) -> Loader:
    """How a key's caller is looked up."""

    async def load(key_hash: str) -> tuple[Caller | None, int]:
        return await database.read(find_caller, key_hash, plans, clock.now_us())

    return load


def lender_of(database: Database, clock: Clock, plans: Plans) -> Lender:
    """How limits are ordered."""

    async def lend(order: Order) -> Terms:
        return await database.write(exchange, order.org_id, order, plans, clock.now_us())

    return lend


def connection_of(settings: Settings, name: str) -> VendorConnection:
    """The way to a vendor."""
    provider = settings.providers[name]
    return VendorConnection(
        vendor=name,
        base_url=provider.base_url,
        api_key=provider.api_key,
        connect_s=settings.vendor_connect_s,
        idle_s=settings.vendor_idle_s,
        total_s=settings.vendor_total_s,
        max_bytes=settings.vendor_answer_max_bytes,
    )


def catalog_of(settings: Settings, imported: Mapping[str, History]) -> Catalog:
    """Every model of the configuration and its vendors, at the prices known now."""
    models = [
        Configured(
            name=model.name,
            provider=model.provider,
            upstream=model.upstream,
            price=compile_configured(
                input_usd=model.price.input,
                output_usd=model.price.output,
                cached_input_usd=model.price.cached_input,
            )
            if model.price
            else None,
        )
        for model in settings.models
    ]
    vendors = [
        Vendor(
            name=name,
            listed_as=provider.prices or name,
            models_only=provider.models_only,
            cap_field=provider.cap_field,
        )
        for name, provider in settings.providers.items()
    ]
    return Catalog(vendors, models, imported, allows_unpriced=settings.unpriced == "allow")


def database_of(settings: Settings) -> Database:
    """SettingsError for a URL that is none."""
    try:
        return Database(settings.sql_url)
    except ValueError as error:
        raise SettingsError(f"database_url: {error}") from None


def make_data_dir(settings: Settings) -> None:
    """SettingsError if it cannot be made."""
    try:
        Path(settings.data_dir).mkdir(0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"data_dir: {error}") from None


def outbound_of(settings: Settings, ask: LookUp = ask_the_system) -> Outbound:
    """How receivers are reached; made once, as it reads the authorities. SettingsError without any."""
    return Outbound(
        allowed=settings.push_allowed,
        resolver=Resolver(settings.push_deadline_s, ask),
        tls=settings.push_tls,
        deadline_s=settings.push_deadline_s,
    )


def post_of(settings: Settings, database: Database, vault: Vault, clock: Clock) -> Post:
    """How letters are sent; without an `smtp_url` they wait."""
    server = settings.mail_server
    mailer = None if server is None else Mailer(server)
    url = settings.public_url
    return Post(database=database, vault=vault, clock=clock, mailer=mailer, public_url=url)


def vault_of(settings: Settings) -> Vault:
    """Opened by the configured keys, or the one in the key file, which is made at the first start."""
    try:
        if settings.secret_keys:
            return Vault([parse_key(text) for text in settings.secret_keys.split(",")])
        return Vault([read_or_make_key(settings.key_file)])
    except ValueError as error:
        where = "secret_keys" if settings.secret_keys else settings.key_file
        raise SettingsError(f"{where}: {error}") from None
    except OSError as error:
        raise SettingsError(f"secret_keys: none given, and there is no key file: {error}") from None
