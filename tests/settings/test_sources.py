"""The configuration: what wins over what, and what a wrong value is told."""

import os
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from tests.push.certificates import Authority
from tollway.domain.token import Secret
from tollway.settings import PriceSettings, ProviderSettings, Settings, SettingsError, load, scalars

PROVIDER = """
[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
"""
MODEL = """
[[models]]
name = "fast"
provider = "openai"
upstream = "gpt-4o-mini"
price = { input = "0.15", output = "0.60" }
"""

NO_FILE = {"TOLLWAY_CONFIG": os.devnull}

Load = Callable[..., tuple[Settings, list[str]]]


@pytest.fixture
def load_from(tmp_path: Path) -> Load:
    """`load`, from a file with this text and these variables."""

    def loaded(
        text: str = "", environment: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None
    ) -> tuple[Settings, list[str]]:
        path = tmp_path / "here.toml"
        path.write_text(text, "utf-8")
        return load({"TOLLWAY_CONFIG": str(path), **(environment or {})}, flags)

    return loaded


def refusal(load_from: Load, *arguments: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_from(*arguments)
    return str(caught.value)


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(load_from: Load) -> None:
    file, variables, flags = "port = 1\n", {"TOLLWAY_PORT": "2"}, {"port": "3"}
    assert load_from()[0].port == 8080
    assert load_from(file)[0].port == 1
    assert load_from("", variables)[0].port == 2
    assert load_from(file, variables)[0].port == 2
    assert load_from(file, {}, flags)[0].port == 3
    assert load_from(file, variables, flags)[0].port == 3


def test_without_anything_the_defaults_hold_and_nothing_is_warned_of() -> None:
    environment = {"PATH": "/bin", "TOLLWAY": "x", "tollway_port": "1", "XTOLLWAY_PORT": "2"}
    settings, warnings = load(NO_FILE | environment)
    assert settings == Settings()
    assert warnings == []


def test_every_scalar_is_a_variable_and_a_flag_and_has_a_sentence(load_from: Load, tmp_path: Path) -> None:
    names = scalars()
    values = {
        "push_ca_bundle": str(Authority(tmp_path).bundle),
        "demo": "off",
        "operator_token": "x" * 16,
        "push_allow_cidrs": "10.0.0.0/8",
        "unpriced": "allow",
        "new_org_tier": "_TRIAL_",
        "journal_fsync": "group",
        "journal_segment_bytes": "17000000",
        "journal_max_bytes": "17000000",
        "public_url": "https://tollway.example.com",
        "cors_origins": "https://app.example.com",
        "oidc_issuer": "https://id.example.com",
        "smtp_url": "smtps://mail.example.com",
        "mail_from": "Tollway <tollway@example.com>",
    }
    issuer = {"TOLLWAY_OIDC_ISSUER": "https://id.example.com", "TOLLWAY_OIDC_AUDIENCE": "tollway"}
    client = {"TOLLWAY_OIDC_CLIENT_ID": "tollway"}
    needed = {
        "smtp_url": {"TOLLWAY_MAIL_FROM": "tollway@example.com"},
        "oidc_issuer": {"TOLLWAY_OIDC_AUDIENCE": "tollway"},
        "oidc_client_id": issuer,
        "oidc_client_secret": issuer | client,
        "oidc_audience": issuer,
    }
    assert [*names, "providers", "models", "plans"] == list(get_type_hints(Settings))
    for name, sentence in names.items():
        assert re.fullmatch(r"\S.+\.", sentence), name
        value = values.get(name, "17")
        others = needed.get(name, {})
        by_variable = load_from("", others | {f"TOLLWAY_{name.upper()}": value})[0]
        by_flag = load_from("", others, {name: value})[0]
        assert by_variable == by_flag != Settings()
        assert str(getattr(by_variable, name)).removesuffix(".0") == value


def test_the_environment_of_the_process_is_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOLLWAY_PORT", "4711")
    monkeypatch.delenv("TOLLWAY_CONFIG", raising=False)
    assert load()[0].port == 4711


def test_the_file_beside_the_process_is_read_and_need_not_be_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({})[0].port == 8080
    Path("tollway.toml").write_text("port = 4711", "utf-8")
    assert load({})[0].port == 4711
    assert load({"TOLLWAY_CONFIG": ""})[0].port == 4711


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"TOLLWAY_CONFIG: there is no file .*gone\.toml"):
        load({"TOLLWAY_CONFIG": str(tmp_path / "gone.toml")})


@pytest.mark.parametrize("content", [b"port =", b"[providers", b"\xff\xfe", b"port = 1\nport = 2"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "here.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"here\.toml: "):
        load({"TOLLWAY_CONFIG": str(path)})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="directory"):
        load({"TOLLWAY_CONFIG": str(tmp_path)})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "prot: not a setting; did you mean port?"),
        ("zzz = 1", "zzz: not a setting"),
        ("port = 'x'", "port: Expected `int`, got `str`"),
        ("port = 80.5", "port: Expected `int`, got `float`"),
        ("port = true", "port: Expected `int`, got `bool`"),
        ("port = 65536", "port: Expected `int` <= 65535"),
        ("port = -1", "port: Expected `int` >= 0"),
        ("host = 5", "host: Expected `str`, got `int`"),
        ("metrics_port = 65536", "metrics_port: Expected `int` <= 65535"),
        ("metrics_port = 65534\nworkers = 2", "metrics_port: the last worker's would be above 65535"),
        ("data_dir = 2026-01-01", "data_dir: Expected `str`, got `date`"),
        ("demo = 'maybe'", "demo: Invalid enum value 'maybe'"),
        ("drain_s = -1", "drain_s: Expected `int` >= 0"),
        ("push_interval_s = 0", "push_interval_s: Expected `float` > 0.0"),
        ("push_interval_s = nan", "push_interval_s: Expected `float` > 0.0"),
        ("client_idle_s = nan", "client_idle_s: Expected `float` > 0.0"),
        ("client_idle_s = inf", "client_idle_s: a finite number of seconds"),
        ("vendor_total_s = inf", "vendor_total_s: a finite number of seconds"),
        ("request_max_bytes = 0", "request_max_bytes: Expected `int` >= 1"),
        ("cors_origins = '*'", "cors_origins: '*' is no origin"),
        ("push_allow_cidrs = 'home'", "push_allow_cidrs: 'home' does not appear to be"),
        ("push_allow_cidrs = '10.0.0.1/8'", "push_allow_cidrs: 10.0.0.1/8 has host bits set"),
        ("operator_token = 'short'", "operator_token: at least 16 ASCII characters"),
        ("operator_token = 'with a space in it'", "operator_token: at least 16 ASCII characters"),
        ("operator_token = 'with-a-line-break\\n'".replace("'", '"'), "operator_token: at least 16 ASCII"),
        ("operator_token = 'päßwörter-sind-geheim'", "operator_token: at least 16 ASCII characters"),
        ("public_url = 'here'", "public_url: an endpoint is an absolute URL"),
        ("public_url = 'https://a.example.com/?x'", "public_url: paths are put behind it"),
        ("smtp_url = 'mail.example.com'\nmail_from = 'a@example.com'", "smtp_url: smtp://host:port"),
        ("smtp_url = 'smtp://mail.example.com'", "mail_from: letters need a sender"),
        ("mail_from = 'nobody'", "mail_from: 'nobody' is no address"),
        ("oidc_issuer = 'id.example.com'", "oidc_issuer: an absolute https URL"),
        ("oidc_issuer = 'http://id.example.com'", "oidc_issuer: https: what it says is believed"),
        ("oidc_issuer = 'http://192.0.2.1'", "oidc_issuer: https: what it says is believed"),
        ("oidc_issuer = 'https://id.example.com/?x'", "oidc_issuer: paths are put behind it"),
        ("oidc_issuer = 'https://me:secret@id.example.com'", "oidc_issuer: an absolute https URL"),
        ("oidc_issuer = 'https://id.example.com'", "oidc_issuer: name oidc_client_id to sign people in, or"),
        ("oidc_client_id = 'x'", "oidc_client_id: there is no oidc_issuer"),
        ("oidc_client_secret = 'x'", "oidc_client_secret: there is no oidc_issuer"),
        ("oidc_audience = 'x'", "oidc_audience: there is no oidc_issuer"),
        (
            "oidc_issuer = 'https://id.example.com'\noidc_audience = 'x'\noidc_client_secret = 'y'",
            "oidc_client_secret: there is no oidc_client_id",
        ),
        (
            "oidc_issuer = 'https://id.example.com'\noidc_client_id = 'päßwort'",
            "oidc_client_id: printable ASCII characters",
        ),
        ("providers = 5", "providers: a table for each, [providers.NAME]"),
        ("providers = ['openai']", "providers: a table for each, [providers.NAME]"),
        ("[providers]\nopenai = 'x'", "providers.openai: Expected `object`, got `str`"),
        ("models = 5", "models: Expected `array`, got `int`"),
        ("[models]\nname = 'x'", "models: Expected `array`, got `object`"),
        ("models = [5]", "models[0]: Expected `object`, got `int`"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_the_reason(load_from: Load, text: str, said: str) -> None:
    assert refusal(load_from, text).startswith(said)


@pytest.mark.parametrize("value", ["", "x", "80.5", "1e99", "0x50", " "])
def test_a_variable_that_is_no_number_is_refused(load_from: Load, value: str) -> None:
    assert refusal(load_from, "", {"TOLLWAY_PORT": value}).startswith("port: Expected `int`")
    assert refusal(load_from, "", {}, {"port": value}).startswith("port: Expected `int`")


@pytest.mark.parametrize("value", ["tcp://10.0.0.1:8080", "udp://10.0.0.1:8080"])
def test_the_port_that_kubernetes_sets_for_a_service_of_our_name_is_explained(
    load_from: Load, value: str
) -> None:
    said = refusal(load_from, "", {"TOLLWAY_PORT": value, "TOLLWAY_SERVICE_HOST": "10.0.0.1"})
    assert said.startswith("port: Expected `int`, got `str`; TOLLWAY_PORT seems to be set by Kubernetes")
    assert "enableServiceLinks: false" in said


def test_an_unknown_variable_only_warns_with_a_suggestion_and_never_shows_its_value(load_from: Load) -> None:
    settings, warnings = load_from(
        "", {"TOLLWAY_PROT": "1", "TOLLWAY_OPERATOR_TOKN": "a-secret", "TOLLWAY_PORT_8080_TCP": "tcp://x"}
    )
    assert settings == Settings()
    assert warnings == [
        "TOLLWAY_OPERATOR_TOKN is not a setting; did you mean operator_token?",
        "TOLLWAY_PORT_8080_TCP is not a setting",
        "TOLLWAY_PROT is not a setting; did you mean port?",
    ]


def test_tables_are_not_read_from_variables(load_from: Load) -> None:
    _, warnings = load_from("", {"TOLLWAY_PROVIDERS": "{}", "TOLLWAY_MODELS": "[]"})
    assert len(warnings) == 2


def test_a_provider_and_a_model_are_read_whole(load_from: Load) -> None:
    text = PROVIDER + 'api_key_env = "OPENAI_API_KEY"\nprices = "azure"\nmodels_only = true\n' + MODEL
    settings, warnings = load_from(text, {"OPENAI_API_KEY": "sk-do-not-show-this-1234"})
    provider = settings.providers["openai"]
    assert isinstance(provider.api_key, Secret)
    assert provider.api_key.reveal() == "sk-do-not-show-this-1234"
    assert (provider.dialect, provider.prices, provider.models_only) == ("openai", "azure", True)
    (model,) = settings.models
    assert (model.name, model.provider, model.upstream) == ("fast", "openai", "gpt-4o-mini")
    assert model.price == PriceSettings(input="0.15", output="0.60", cached_input=None)
    assert warnings == []


def test_a_model_needs_no_price_of_its_own(load_from: Load) -> None:
    text = PROVIDER + MODEL.replace("price =", "# price =")
    assert load_from(text)[0].models[0].price is None


def test_without_a_variable_for_its_key_a_provider_has_none(load_from: Load) -> None:
    provider = load_from(PROVIDER, {"OPENAI_API_KEY": "sk-1234"})[0].providers["openai"]
    assert provider == ProviderSettings(dialect="openai", base_url="https://api.openai.com/v1")


@pytest.mark.parametrize("environment", [{}, {"OPENAI_API_KEY": ""}])
def test_a_key_s_variable_must_be_set(load_from: Load, environment: dict[str, str]) -> None:
    said = refusal(load_from, PROVIDER + 'api_key_env = "OPENAI_API_KEY"', environment)
    assert said == "providers.openai.api_key_env: the variable OPENAI_API_KEY is not set"


@pytest.mark.parametrize(
    "key", ["sk-secret\n", "sk-secret\r\nX-Evil: 1", "sk secret", "sk-sécret", "sk-\x00"]
)
def test_a_key_that_fits_no_header_is_refused_at_the_start_and_not_shown(load_from: Load, key: str) -> None:
    said = refusal(load_from, PROVIDER + 'api_key_env = "OPENAI_API_KEY"', {"OPENAI_API_KEY": key})
    assert said.startswith("providers.openai.api_key_env: OPENAI_API_KEY holds spaces, line breaks")
    assert "sk" not in said.replace("OPENAI_API_KEY", "")


def test_a_key_s_variable_may_begin_like_ours(load_from: Load) -> None:
    text = PROVIDER + 'api_key_env = "TOLLWAY_OPENAI_KEY"'
    settings, warnings = load_from(text, {"TOLLWAY_OPENAI_KEY": "sk-1234"})
    assert settings.providers["openai"].api_key is not None
    assert warnings == []


@pytest.mark.parametrize("value", ['"sk-secret-in-the-file"', '""', "5", "{}"])
def test_a_key_inside_the_file_is_refused_and_not_shown(load_from: Load, value: str) -> None:
    said = refusal(load_from, f"{PROVIDER}api_key = {value}")
    assert said.startswith("providers.openai.api_key: keys do not belong into the file")
    assert "sk-secret" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PROVIDER.replace("dialect", "dialct"), "providers.openai: Object"),
        (PROVIDER + "apikey = 'x'", "providers.openai: Object contains unknown field `apikey`"),
        (PROVIDER + "api_key_env = 5", "providers.openai.api_key_env: Expected `str | null`, got `int`"),
        (PROVIDER + "models_only = 'perhaps'", "providers.openai.models_only: Expected `bool`, got `str`"),
        (PROVIDER.replace('"openai"', '"smtp"'), "providers.openai.dialect: Invalid enum value 'smtp'"),
        (PROVIDER.replace(".openai]", ".demo]"), "providers.demo: this name is the built-in demo vendor's"),
        (PROVIDER.replace(".openai]", ".OpenAI]"), "providers.OpenAI: a name is lower-case letters"),
        (PROVIDER.replace(".openai]", '."a/b"]'), "providers.a/b: a name is lower-case letters"),
        (PROVIDER.replace(".openai]", '."a\\n"]'), "providers.a\n: a name is lower-case letters"),
        (PROVIDER.replace(".openai]", '.""]'), "providers.: a name is lower-case letters"),
        (PROVIDER.replace("https:", "ftp:"), "providers.openai.base_url: not an absolute http(s) URL"),
        (PROVIDER.replace("https://", ""), "providers.openai.base_url: not an absolute http(s) URL"),
        (
            PROVIDER.replace("//", "//user:password@"),
            "providers.openai.base_url: not an absolute http(s) URL",
        ),
        (PROVIDER.replace(".com/", ".com:99999/"), "providers.openai.base_url: not an absolute http(s) URL"),
        (PROVIDER.replace("/v1", "/v1\\n"), "providers.openai.base_url: not an absolute http(s) URL"),
        (PROVIDER.replace("/v1", "/v1#x"), "providers.openai.base_url: not an absolute http(s) URL"),
        (PROVIDER.replace("/v1", "/v1?x=y"), "providers.openai.base_url: paths are put behind it"),
        (PROVIDER.replace("https://api.openai.com/v1", ""), "providers.openai.base_url: not an absolute"),
    ],
)
def test_a_provider_s_mistake_is_named_with_its_provider(load_from: Load, text: str, said: str) -> None:
    answer = refusal(load_from, text)
    assert answer.startswith(said)
    assert "password" not in answer


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MODEL, "models[0].provider: there is no [providers.openai]"),
        (
            PROVIDER + MODEL.replace('"openai"', '"opnai"'),
            "models[0].provider: there is no [providers.opnai]",
        ),
        (PROVIDER + MODEL + MODEL, "models[1].name: fast is there twice"),
        (PROVIDER + MODEL.replace('"fast"', '""'), "models[0]: name and upstream are not empty"),
        (PROVIDER + MODEL.replace('"gpt-4o-mini"', '""'), "models[0]: name and upstream are not empty"),
        (PROVIDER + MODEL.replace("upstream", "upstrm"), "models[0]: Object"),
        (PROVIDER + MODEL.replace('"0.15"', "0.15"), "models[0].price.input: Expected `str`, got `float`"),
        (PROVIDER + MODEL.replace('"0.60"', "1"), "models[0].price.output: Expected `str`, got `int`"),
        (PROVIDER + MODEL.replace('"0.15"', '"free"'), "models[0].price.input: 'free' is not a decimal"),
        (PROVIDER + MODEL.replace('"0.15"', '"NaN"'), "models[0].price.input: 'NaN' is not a decimal"),
        (
            PROVIDER + MODEL.replace('"0.60"', '"-0.60"'),
            "models[0].price.output: a price is between $0 and $100,000",
        ),
        (PROVIDER + MODEL.replace("0.60", "0.0000000001"), "models[0].price.output: '0.0000000001' has more"),
        (PROVIDER + MODEL.replace("input", "cached_input"), "models[0].price: Object missing required field"),
        (
            PROVIDER + MODEL.replace("{ ", "{ cached_input = '-1', "),
            "models[0].price.cached_input: a price is between $0 and $100,000",
        ),
        (PROVIDER + MODEL.replace("{ ", "{ inptu = '1', "), "models[0].price: Object contains unknown field"),
        (PROVIDER + MODEL + MODEL.replace("fast", "b").replace('"0.15"', "1"), "models[1].price.input: "),
    ],
)
def test_a_model_s_mistake_is_named_with_its_place(load_from: Load, text: str, said: str) -> None:
    assert refusal(load_from, text).startswith(said)


def test_nothing_secret_is_shown_by_the_settings(load_from: Load) -> None:
    text = PROVIDER + 'api_key_env = "OPENAI_API_KEY"\n' + MODEL
    environment = {
        "OPENAI_API_KEY": "sk-hidden-1",
        "TOLLWAY_OPERATOR_TOKEN": "hidden-operator-2",
        "TOLLWAY_SECRET_KEYS": "hidden-keys-3",
        "TOLLWAY_DATABASE_URL": "postgresql://tollway:hidden-4@db/tollway",
        "TOLLWAY_OIDC_ISSUER": "https://id.example.com",
        "TOLLWAY_OIDC_CLIENT_ID": "tollway",
        "TOLLWAY_OIDC_CLIENT_SECRET": "hidden-5",
        "TOLLWAY_SMTP_URL": "smtps://tollway:hidden-6@mail.example.com",
        "TOLLWAY_MAIL_FROM": "tollway@example.com",
    }
    settings, _ = load_from(text, environment)
    shown_in_all = (repr(settings), str(settings), f"{settings}", repr(settings.providers), repr([settings]))
    for shown in (*shown_in_all, repr(settings.registration), repr(settings.mail_server)):
        assert "hidden" not in shown
    assert "port=8080" in repr(settings)


def test_what_follows_from_the_settings_is_told_by_them(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path / "data"), push_allow_cidrs="10.0.0.0/8, ::1/128")
    assert settings.sql_url == f"sqlite:///{tmp_path / 'data' / 'tollway.db'}"
    assert settings.key_file == tmp_path / "data.key"
    assert settings.push_allowed == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert Settings(database_url="postgresql://db/x").sql_url == "postgresql://db/x"


@pytest.mark.parametrize(
    ("demo", "has_providers", "has_demo"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("on", False, True),
        ("on", True, True),
        ("off", False, False),
        ("off", True, False),
    ],
)
def test_the_demo_is_there_on_demand_or_while_there_is_nothing_else(
    load_from: Load, demo: str, has_providers: bool, has_demo: bool
) -> None:
    settings, _ = load_from(PROVIDER if has_providers else "", {"TOLLWAY_DEMO": demo})
    assert settings.has_demo == has_demo


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().port = 1  # type: ignore[misc]  # frozen: that is what is tested


names = st.sampled_from([*scalars(), "prot", "push", "config_"]).map(str.upper)


@given(st.dictionaries(names, st.text(max_size=12) | st.integers().map(str)))
@limits(deadline=None)
def test_whatever_the_environment_holds_it_is_settings_or_a_reason(values: dict[str, str]) -> None:
    try:
        settings, _ = load(NO_FILE | {f"TOLLWAY_{name}": value for name, value in values.items()})
    except SettingsError as error:
        name = str(error).partition(":")[0]
        assert name.upper() in values
        return
    assert 0 <= settings.port <= 65_535
    assert settings.push_allowed is not None
