"""What a provider's id token says, once it is certain that the provider says it, to us, now, and to this browser."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import ClaimError, InvalidKeyIdError, JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, Key, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from database.errors import TutorwatchError

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
"""Signatures of the provider alone. Never `none`, and never HS256: its key would be one that others have, too."""
LEEWAY_SECONDS = 60
"""How far the provider's clock may differ from ours."""
SHORTEST_RSA_KEY = 2048
"""Bits."""
LONGEST_SUBJECT = 255
LONGEST_EMAIL = 255


class UntrustedTokenError(TutorwatchError):
    """The token isn't what it must be: nobody is signed in by it. The message says in what, without its content."""


class UnknownKeyError(UntrustedTokenError):
    """It is signed with a key that isn't among the provider's: it may have a new one by now."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Who must have issued the token, to whom, and for which sign-in."""

    issuer: str
    client_id: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the provider vouches for."""

    subject: str
    """Who they are there, for good."""
    verified_email: str | None
    """Their address, if the provider has made sure that it is theirs."""


class _Registry(JWSRegistry):
    """Which tokens are read: with allowed algorithms only, and with whatever else is in their header."""

    max_header_length = 16 * 1024  # some carry a chain of certificates, at which nobody looks

    def __init__(self) -> None:
        super().__init__(algorithms=ALGORITHMS, strict_check_header=False)

    def get_alg(self, name: object) -> Any:
        """The algorithm; the library's own function warns of EdDSA by its old name, which providers use."""
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError(f"Algorithm of {name!r} is not allowed")
        return self.algorithms[str(name)]


_REGISTRY = _Registry()


def read_keys(document: Mapping[str, Any]) -> KeySet:
    """The provider's keys for signatures; others, and what can't be read, are left out.

    Raises UntrustedTokenError where none is left.
    """
    listed = document.get("keys")
    keys = [key for each in (listed if isinstance(listed, list) else []) if (key := _key(each))]
    if not keys:
        raise UntrustedTokenError("the provider has no key that can be used")
    return KeySet(keys)


def read_token(token: str, keys: KeySet, expected: Expected) -> dict[str, Any]:
    """The token's claims. Raises UnknownKeyError, UntrustedTokenError."""
    try:
        read = jwt.decode(token, keys, registry=_REGISTRY)
    except InvalidKeyIdError:
        raise UnknownKeyError("its key is unknown") from None
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UntrustedTokenError(f"its signature or form is wrong ({type(error).__name__})") from None
    _check(read.claims, expected)
    return read.claims


def person_of(claims: Mapping[str, Any]) -> Person:
    """Whom the claims are about. Raises UntrustedTokenError for a subject that can't be kept."""
    subject, email = claims.get("sub"), claims.get("email")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
        raise UntrustedTokenError("its subject is missing, or none that could be kept")
    # Only `true` itself: a provider that writes "true" as text may write "false" as text, too.
    is_verified = claims.get("email_verified") is True and isinstance(email, str) and _is_email(email)
    return Person(subject, str(email) if is_verified else None)


def _check(claims: Mapping[str, Any], expected: Expected) -> None:
    needed = JWTClaimsRegistry(
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": expected.issuer},
        aud={"essential": True, "value": expected.client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True},
    )
    try:
        needed.validate(dict(claims))
    except ClaimError as error:
        raise UntrustedTokenError(f"its {error.claim} is missing or wrong ({type(error).__name__})") from None
    nonce = claims["nonce"]
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise UntrustedTokenError("its nonce is of another sign-in")
    _check_party(claims, expected)


def _check_party(claims: Mapping[str, Any], expected: Expected) -> None:
    """A token that is for several must say for which of them it was made out."""
    audience, party = claims["aud"], claims.get("azp")
    is_for_several = isinstance(audience, list) and len(audience) > 1
    if party != expected.client_id and (is_for_several or party is not None):
        raise UntrustedTokenError("it was made out for another client (azp)")


def _key(listed: object) -> Key | None:
    if not isinstance(listed, dict) or listed.get("use", "sig") != "sig":
        return None
    try:
        match listed.get("kty"):
            case "RSA" if _bits(listed["n"]) >= SHORTEST_RSA_KEY:
                return RSAKey.import_key(listed)
            case "EC":
                return ECKey.import_key(listed)
            case "OKP":
                return OKPKey.import_key(listed)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return None


def _bits(modulus: str) -> int:
    try:
        return int.from_bytes(base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))).bit_length()
    except binascii.Error:
        return 0


def _is_email(text: str) -> bool:
    return "@" in text and text.isprintable() and " " not in text and len(text) <= LONGEST_EMAIL
