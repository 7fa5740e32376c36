"""Keys and signatures: which count, and that nothing that is sent can do more than be refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from tests.peers.issuer import encoded, key_of, part, signed
from tollway.control.signatures import (
    KEY_TYPES,
    MAX_KEYS,
    Header,
    Key,
    SignatureError,
    key_for,
    read_header,
    read_keys,
    verified,
)

CLAIMS = {"sub": "ada"}


def public(key: Key, **changes: object) -> dict[str, Any]:
    """A key as a JWKS has it; a change of None leaves a member out."""
    whole = {**key.as_dict(private=False), **changes}
    return {name: value for name, value in whole.items() if value is not None}


def read(*keys: object) -> list[Key]:
    return read_keys({"keys": list(keys)})


@pytest.mark.parametrize("algorithm", KEY_TYPES)
def test_what_a_key_signed_is_verified_by_it_and_by_no_other(algorithm: str) -> None:
    keys = read(public(key_of(algorithm, "a")), public(key_of(algorithm, "b")))
    token = signed(CLAIMS, algorithm, key_of(algorithm, "a"))
    header = read_header(token)
    assert (header.alg, header.kid) == (algorithm, "a")
    found = key_for(header, keys)
    assert found is not None
    assert found.kid == "a"
    assert verified(token, found) == CLAIMS
    with pytest.raises(SignatureError):
        verified(token, keys[1])


def test_keys_that_do_not_sign_or_are_not_safe_are_left_out() -> None:
    good = key_of("RS256", "first")
    secret = {"kty": "oct", "k": encoded(b"x" * 32), "kid": "oct"}
    weak = {**public(good), "n": encoded(b"\0" + b"\xff" * 255)}
    assert read(public(good)) != []
    for bad in (
        secret,
        weak,
        good.as_dict(private=True),
        public(good, use="enc"),
        public(good, use=5),
        public(good, key_ops=["encrypt"]),
        public(good, key_ops=5),
        public(good, n="%%%"),
        public(good, n=None),
        public(good, n=5),
        public(good, kty="PQC"),
        public(good, kty=None),
        public(good, kty=["RSA"]),
        public(key_of("ES256", "x"), crv="P-0"),
        public(key_of("ES256", "x"), x="AA"),
        public(key_of("EdDSA", "x"), x="AA"),
        {},
        5,
        None,
        "key",
    ):
        assert read(bad) == [], bad
        assert len(read(bad, public(good))) == 1
    assert len(read(public(good, key_ops=["verify"]), public(good, use=None))) == 2


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": "x"}])
def test_a_document_without_keys_has_none(document: dict[str, object]) -> None:
    assert read_keys(document) == []


def test_so_many_keys_are_read_and_no_more() -> None:
    assert len(read(*[public(key_of("ES256", "x"))] * (MAX_KEYS + 5))) == MAX_KEYS


def test_a_key_serves_the_algorithms_of_its_type_and_the_one_that_it_names() -> None:
    rsa, ec = key_of("RS256", "one"), key_of("ES256", "one")
    keys = read(public(rsa), public(ec))
    assert isinstance(key_for(Header(alg="PS512", kid="one"), keys), RSAKey)
    assert isinstance(key_for(Header(alg="ES256", kid="one"), keys), ECKey)
    assert key_for(Header(alg="EdDSA", kid="one"), keys) is None
    assert key_for(Header(alg="RS256", kid="two"), keys) is None
    bound = read(public(rsa, alg="RS256"))
    assert key_for(Header(alg="RS256", kid="one"), bound) is not None
    assert key_for(Header(alg="RS512", kid="one"), bound) is None


def test_a_curve_s_key_is_not_used_for_another_curve_s_algorithm() -> None:
    (key,) = read(public(key_of("ES384", "first")))
    token = signed(CLAIMS, "ES384", key_of("ES384", "first"))
    renamed = f"{part({'alg': 'ES256', 'kid': 'first'})}.{token.partition('.')[2]}"
    with pytest.raises(SignatureError):
        verified(renamed, key)


def test_a_token_without_a_key_s_name_has_the_only_key_or_none() -> None:
    one, two = public(key_of("RS256", "one")), public(key_of("RS256", "two"))
    assert key_for(Header(alg="RS256"), read(one)) is not None
    assert key_for(Header(alg="RS256"), read(one, public(key_of("ES256", "x")))) is not None
    assert key_for(Header(alg="RS256"), read(one, two)) is None
    assert key_for(Header(alg="RS256"), []) is None


@given(
    st.text(max_size=40) | st.lists(st.binary(max_size=60).map(encoded), min_size=3, max_size=3).map(".".join)
)
@bounds(deadline=None)
def test_whatever_is_sent_it_is_refused(token: str) -> None:
    with pytest.raises(SignatureError):
        read_header(token)
    with pytest.raises(SignatureError):
        verified(token, key_of("RS256", "first"))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_headers = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5c", "zip", "enc"]), _json
)


@given(_headers, st.sampled_from([*KEY_TYPES, "none", "HS256"]), _json)
@bounds(deadline=None)
def test_whatever_stands_in_the_header_a_forged_token_is_refused(
    header: dict[str, object], algorithm: str, claims: object
) -> None:
    token = f"{part(header | {'alg': algorithm})}.{part(claims)}.{encoded(b'x' * 256)}"
    with pytest.raises(SignatureError):
        verified(token, key_of("RS256", "first"))


@given(
    st.dictionaries(
        st.sampled_from(["kty", "n", "e", "x", "y", "crv", "use", "key_ops", "alg", "kid"]), _json
    )
)
@bounds(deadline=None)
def test_whatever_a_key_set_holds_it_can_be_read(key: dict[str, object]) -> None:
    for kty in ("RSA", "EC", "OKP"):
        for good in (key_of("RS256", "a"), key_of("ES256", "a"), key_of("EdDSA", "a")):
            for read_key in read(public(good) | key | {"kty": kty}):
                key_for(Header(alg="RS256", kid="a"), [read_key])
