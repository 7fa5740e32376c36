"""Every knob of Tollway, in one frozen class: its type, its default and its sentence.

Names end in their unit. Owns what may be configured, what a wrong value is told and what follows
from one; does not own where values come from (`sources.py`) or what is done with them.
"""

import math
import ssl
from pathlib import Path
from typing import Annotated, Literal, get_type_hints

import msgspec
from msgspec import Meta

from tollway.domain import provider
from tollway.domain.destination import Network, parse_endpoint, parse_networks
from tollway.domain.identity import Registration, check_issuer_url
from tollway.domain.mail import MailServer, parse_mail
from tollway.domain.origin import parse_origins
from tollway.domain.plan import Plans
from tollway.domain.provider import ModelSettings, ProviderSettings
from tollway.domain.subscription import NewTier, Opening, PlanSettings, check_plans, parse_balance, plans_of
from tollway.domain.token import Secret

_MIN_OPERATOR_TOKEN_CHARS = 16
_MAX_PORT = 65_535


class SettingsError(Exception):
    """The configuration cannot be used; the message says which key and why."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings. Each scalar one is also a `TOLLWAY_*` variable and a flag of `tollway serve`."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(description="Port to listen on; 0 takes a free one.", ge=0, le=65535)] = 8080
    metrics_host: Annotated[
        str, Meta(description="Address of the operator's own port; whoever reaches it needs no token.")
    ] = "127.0.0.1"
    metrics_port: Annotated[
        int,
        Meta(
            description=(
                "The operator's own port, for `/metrics`; 0 is none. With several workers each has one: this "
                "plus its number, from 1."
            ),
            ge=0,
            le=65535,
        ),
    ] = 0
    database_url: Annotated[
        str,
        Meta(description="`sqlite:////abs/path.db` or `postgresql://…`; empty is SQLite in the data folder."),
    ] = ""
    data_dir: Annotated[str, Meta(description="Folder for what this process keeps on disk.")] = "./data"
    operator_token: Annotated[
        str, Meta(description="The operator's bearer token; empty: generated and printed at the first start.")
    ] = ""
    secret_keys: Annotated[
        str,
        Meta(
            description=(
                "Comma list of base64 keys of 32 bytes that encrypt stored secrets, the newest first; "
                "empty: one is generated into a file beside the data folder (`<data_dir>.key`, mode 0600)."
            )
        ),
    ] = ""
    demo: Annotated[
        Literal["auto", "on", "off"],
        Meta(
            description=(
                "The built-in demo vendor and a demo organisation; `auto` has them while no provider "
                "is configured."
            )
        ),
    ] = "auto"
    push_interval_s: Annotated[
        float, Meta(description="Seconds between two pushes to one receiver.", gt=0)
    ] = 15.0
    push_deadline_s: Annotated[float, Meta(description="Longest wait for a receiver's answer.", gt=0)] = 10.0
    push_allow_cidrs: Annotated[
        str,
        Meta(
            description=(
                "Comma list of address ranges that receivers may be at although they are private or "
                "loopback; in them plain http is allowed too."
            )
        ),
    ] = ""
    push_ca_bundle: Annotated[
        str,
        Meta(
            description=(
                "PEM file with the authorities that receivers' certificates are checked against; empty: the "
                "system's."
            )
        ),
    ] = ""
    vendor_connect_s: Annotated[
        float, Meta(description="Longest wait for a connection to a vendor.", gt=0)
    ] = 10.0
    vendor_idle_s: Annotated[
        float, Meta(description="Longest silence of a vendor while it answers.", gt=0)
    ] = 120.0
    vendor_total_s: Annotated[
        float,
        Meta(
            description="Longest answer of a vendor from first to last byte, also after its client has left.",
            gt=0,
        ),
    ] = 900.0
    vendor_answer_max_bytes: Annotated[
        int, Meta(description="Largest answer that is read from a vendor.", gt=0)
    ] = 64 * 1024 * 1024
    client_idle_s: Annotated[
        float, Meta(description="Longest wait for a client to send its body or take its answer.", gt=0)
    ] = 60.0
    request_max_bytes: Annotated[int, Meta(description="Largest body of an inference request.", gt=0)] = (
        32 * 1024 * 1024
    )
    journal_fsync: Annotated[
        Literal["never", "interval", "group"],
        Meta(
            description=(
                "When the journal is synchronised with the disk: `never`; each 50 ms; or, one "
                "synchronisation for a `group` of calls, before a vendor is asked and an answer ends."
            )
        ),
    ] = "interval"
    journal_segment_bytes: Annotated[
        int,
        Meta(description="Size of a file of the journal; it is allocated before it is used.", ge=256 * 1024),
    ] = 16 * 1024 * 1024
    journal_max_bytes: Annotated[
        int,
        Meta(
            description=(
                "What this process's journal may take on the disk; beyond, what is stored goes, and then "
                "new calls get 503."
            ),
            ge=512 * 1024,
        ),
    ] = 8 * 1024 * 1024 * 1024
    journal_keep_days: Annotated[
        float,
        Meta(
            description="Days that journals are kept after they are stored, to bring a restored database "
            "up to date.",
            ge=0,
            le=3650,
        ),
    ] = 3.0
    unpriced: Annotated[
        Literal["refuse", "allow"],
        Meta(
            description=(
                "A vendor's model without a known price: `refuse` it (402), or `allow` it at no cost, its "
                "rows marked `unpriced`; no limit in dollars holds for them."
            )
        ),
    ] = "refuse"
    body_max_bytes: Annotated[
        int,
        Meta(
            description=(
                "What is kept of a prompt and of an answer, each, for organisations at privacy level 1."
            ),
            ge=0,
        ),
    ] = 256 * 1024
    drain_s: Annotated[
        int,
        Meta(
            description=(
                "Seconds that calls in flight get to finish at a stop, and then the database to take "
                "what they cost."
            ),
            ge=0,
        ),
    ] = 30
    workers: Annotated[
        int,
        Meta(description="Processes that answer on the port; one for each core is plenty.", ge=1, le=256),
    ] = 1
    new_org_tier: Annotated[
        NewTier, Meta(description="The subscription tier that new organisations begin with.")
    ] = "_INTERNAL_"
    trial_days: Annotated[
        int, Meta(description="How long the trial of a new organisation lasts.", ge=0, le=3650)
    ] = 14
    trial_balance_usd: Annotated[
        str, Meta(description="What the trial of a new organisation may cost, as decimal text.")
    ] = "5"
    public_url: Annotated[
        str,
        Meta(
            description=(
                "The URL at which people reach this installation, for links that lead back to it; empty: "
                "as each request names it."
            )
        ),
    ] = ""
    cors_origins: Annotated[
        str,
        Meta(description="Comma list of origins whose pages may use the control plane; empty: none."),
    ] = ""
    smtp_url: Annotated[
        str,
        Meta(
            description=(
                "The mail server for letters: `smtp+starttls://user:password@host:587` (percent-encoded), "
                "`smtps://…`, or `smtp://…`, which takes STARTTLS if it is offered; empty: letters wait."
            )
        ),
    ] = ""
    mail_from: Annotated[str, Meta(description="The sender of letters: an address, or `Name <address>`.")] = (
        ""
    )
    oidc_issuer: Annotated[
        str,
        Meta(
            description=(
                "The OpenID Connect issuer that people sign in with, exactly as its discovery document "
                "names itself; empty: only the operator makes users."
            )
        ),
    ] = ""
    oidc_client_id: Annotated[
        str, Meta(description="What the issuer calls this installation; empty: no sign-in in a browser.")
    ] = ""
    oidc_client_secret: Annotated[
        str, Meta(description="What goes with it; empty: a public client, by PKCE alone.")
    ] = ""
    oidc_audience: Annotated[
        str,
        Meta(
            description=(
                "The audience of the issuer's access tokens (JWT) that the API accepts; empty: none of them."
            )
        ),
    ] = ""
    providers: dict[str, ProviderSettings] = {}
    models: list[ModelSettings] = []
    plans: dict[str, PlanSettings] = {}

    @property
    def allowances(self) -> Plans:
        """What each configured tier allows."""
        return plans_of(self.plans)

    @property
    def opening(self) -> Opening:
        """What a new organisation starts with."""
        balance = parse_balance(self.trial_balance_usd)
        return Opening(tier=self.new_org_tier, trial_days=self.trial_days, trial_balance=balance)

    @property
    def push_allowed(self) -> tuple[Network, ...]:
        """The ranges of `push_allow_cidrs`."""
        return parse_networks(self.push_allow_cidrs)

    @property
    def cors_allowed(self) -> tuple[str, ...]:
        """The origins of `cors_origins`; ValueError for what is none."""
        return parse_origins(self.cors_origins)

    @property
    def push_tls(self) -> ssl.SSLContext:
        """How receivers' certificates are checked: a new context; SettingsError without authorities."""
        bundle = self.push_ca_bundle
        try:
            context = ssl.create_default_context(cafile=bundle or None)
        except ssl.SSLError:
            raise SettingsError(f"push_ca_bundle: no certificate can be read from {bundle}") from None
        except (OSError, ValueError) as error:
            raise SettingsError(f"push_ca_bundle: {bundle!r}: {error}") from None
        if bundle and not context.cert_store_stats()["x509"]:
            raise SettingsError(f"push_ca_bundle: there is no certificate in {bundle}")
        context.set_alpn_protocols(["http/1.1"])
        return context

    @property
    def registration(self) -> Registration | None:
        """How this installation is known to its issuer; None without one."""
        if not self.oidc_issuer:
            return None
        secret = self.oidc_client_secret
        return Registration(
            issuer=self.oidc_issuer,
            client_id=self.oidc_client_id,
            client_secret=Secret(secret) if secret else None,
            audience=self.oidc_audience,
        )

    @property
    def mail_server(self) -> MailServer | None:
        """Where letters are handed over; None: nowhere."""
        return parse_mail(self.smtp_url, self.mail_from)

    @property
    def has_demo(self) -> bool:
        """Whether the demo vendor is offered."""
        return self.demo == "on" or (self.demo == "auto" and not self.providers)

    @property
    def sql_url(self) -> str:
        """The database's URL, with the default filled in."""
        return self.database_url or f"sqlite:///{Path(self.data_dir).resolve() / 'tollway.db'}"

    @property
    def key_file(self) -> Path:
        """Where a generated secret key is kept: beside the data folder, so that a copy of it has none."""
        folder = Path(self.data_dir).resolve()
        return folder.with_name(f"{folder.name}.key")

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in scalars() if name not in _SECRET)
        return f"Settings({', '.join(shown)}, …)"


_SECRET = frozenset({"operator_token", "secret_keys", "database_url", "oidc_client_secret", "smtp_url"})
"""Never shown: URLs may hold a password."""


def scalars() -> dict[str, str]:
    """The settings that are one value, with their sentence, in the order of the class."""
    hints = get_type_hints(Settings, include_extras=True)
    return {
        name: hint.__metadata__[0].description
        for name, hint in hints.items()
        if hasattr(hint, "__metadata__")
    }


def check(settings: Settings) -> None:
    """SettingsError for what a type cannot say."""
    if (
        settings.metrics_port
        and settings.workers > 1
        and settings.metrics_port + settings.workers > _MAX_PORT
    ):
        raise SettingsError(f"metrics_port: the last worker's would be above {_MAX_PORT}")
    if settings.push_ca_bundle:
        _ = settings.push_tls
    try:
        parse_networks(settings.push_allow_cidrs)
    except ValueError as error:
        raise SettingsError(f"push_allow_cidrs: {error}") from None
    try:
        parse_origins(settings.cors_origins)
    except ValueError as error:
        raise SettingsError(f"cors_origins: {error}") from None
    try:
        parse_balance(settings.trial_balance_usd)
    except ValueError as error:
        raise SettingsError(f"trial_balance_usd: {error}") from None
    for name in scalars():
        value = getattr(settings, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise SettingsError(f"{name}: a finite number of seconds")
    token = settings.operator_token
    if token and (len(token) < _MIN_OPERATOR_TOKEN_CHARS or not provider.fits_a_header(token)):
        raise SettingsError(
            f"operator_token: at least {_MIN_OPERATOR_TOKEN_CHARS} ASCII characters without spaces"
        )
    _check_sign_in(settings)
    try:
        provider.check_providers(settings.providers)
        provider.check_models(settings.models, settings.providers)
        check_plans(settings.plans)
        parse_mail(settings.smtp_url, settings.mail_from)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _check_sign_in(settings: Settings) -> None:
    for name in ("public_url", "oidc_issuer"):
        url = getattr(settings, name)
        try:
            if "?" in url:
                raise ValueError("paths are put behind it, so it has no query")
            if url:
                (parse_endpoint if name == "public_url" else check_issuer_url)(url)
        except ValueError as error:
            raise SettingsError(f"{name}: {error}") from None
    for name in ("oidc_client_id", "oidc_client_secret", "oidc_audience"):
        value = getattr(settings, name)
        if value and not settings.oidc_issuer:
            raise SettingsError(f"{name}: there is no oidc_issuer")
        if not value.isascii() or not value.isprintable():
            raise SettingsError(f"{name}: printable ASCII characters")
    if settings.oidc_client_secret and not settings.oidc_client_id:
        raise SettingsError("oidc_client_secret: there is no oidc_client_id")
    if settings.oidc_issuer and not settings.oidc_client_id and not settings.oidc_audience:
        raise SettingsError(
            "oidc_issuer: name oidc_client_id to sign people in, or oidc_audience to accept its access tokens"
        )
