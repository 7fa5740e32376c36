"""`push_ca_bundle`: whose word on receivers' certificates is taken, and what a wrong file is told."""

import ssl
from pathlib import Path

import pytest

from tests.push.certificates import Authority
from tollway.settings import Settings, SettingsError, load


def loaded(tmp_path: Path, bundle: object) -> Settings:
    here = tmp_path / "here.toml"
    here.touch()
    return load({"TOLLWAY_CONFIG": str(here), "TOLLWAY_PUSH_CA_BUNDLE": str(bundle)})[0]


def test_without_a_bundle_the_systems_authorities_are_asked(tmp_path: Path) -> None:
    context = loaded(tmp_path, "").push_tls
    assert context.get_ca_certs() == ssl.create_default_context().get_ca_certs()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_bundle_s_authorities_are_asked_and_no_others(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    authorities = [Authority(tmp_path, name) for name in ("first", "second")]
    both.write_bytes(b"\n".join(authority.bundle.read_bytes() for authority in authorities))
    context = loaded(tmp_path, both).push_tls
    assert len(context.get_ca_certs()) == 2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"", "no certificate can be read from"),
        (b"not a certificate\n", "no certificate can be read from"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate can be read"),
        (b"\xff\xfe\x00", "no certificate can be read from"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_and_is_named(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    with pytest.raises(SettingsError, match=rf"push_ca_bundle: .*{why}") as caught:
        loaded(tmp_path, bundle)
    assert str(bundle) in str(caught.value)


def test_a_list_of_revocations_is_no_authority(tmp_path: Path) -> None:
    bundle = tmp_path / "revoked.pem"
    bundle.write_bytes(Authority(tmp_path).revocations())
    with pytest.raises(SettingsError, match=r"push_ca_bundle: there is no certificate in .*revoked\.pem"):
        loaded(tmp_path, bundle)


def test_a_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"push_ca_bundle: .*directory"):
        loaded(tmp_path, tmp_path)


def test_a_path_with_a_null_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"push_ca_bundle: .*null"):
        loaded(tmp_path, "a\0b")
