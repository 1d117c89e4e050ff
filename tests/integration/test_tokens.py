"""Tokens of an identity provider: which are taken, who they are of, and where the keys behind them come from."""

import asyncio
import base64
import functools
import hmac
import http.server
import json
import pathlib
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from perdure.client import CallFailed, Client
from perdure.v1.flows_pb2 import ListFlowsRequest
from perdure.v1.identities_pb2 import Identity, WhoAmIRequest
from perdure.v1.roles_pb2 import ROLE_OPERATOR, ROLE_VIEWER
from perdure_control_plane.domain.limits import SECOND
from perdure_services import signing_keys
from perdure_services.settings import SettingsInvalid, load_control_plane
from perdure_services.signing_keys import FetchedKeys, FileKeys, SigningKeysUnusable

ISSUER, AUDIENCE = "https://id.example", "perdure"
OWN = ECKey.generate_key("P-256", parameters={"kid": "one"})
OTHER = ECKey.generate_key("P-256", parameters={"kid": "two"})
RSA = RSAKey.generate_key(2048, parameters={"kid": "rsa"})
ED = OKPKey.generate_key("Ed25519", parameters={"kid": "ed"})
RULES = {
    "authentication": "required",
    "jwt_issuer": ISSUER,
    "jwt_audience": AUDIENCE,
    "jwt_roles": ("perdure-ops=operator", "everybody=viewer"),
}

Ask = Callable[[str], Awaitable[Identity]]


def token(key: Any = OWN, algorithm: str = "ES256", header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token that is good but for what is given; a claim that is None is left out."""
    now = int(time.time())
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + 600, "nbf": now - 5, "roles": ["everybody"]}
    held = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return jwt.encode({"alg": algorithm, "kid": key.kid, **(header or {})}, held, key, algorithms=[algorithm])


def published(*keys: Any) -> str:
    return json.dumps(KeySet(keys).as_dict(private=False))


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    """What the provider publishes, as a file."""
    path = tmp_path / "keys.json"
    path.write_text(published(OWN, RSA, ED))
    return path


@pytest.fixture
async def ask(serve: Any, file: pathlib.Path) -> Ask:
    """Asks a server who the bearer of a token is."""
    service = await serve(**RULES, jwt_keys=str(file))

    async def who(text: str) -> Identity:
        async with Client(service.address, key=text) as perdure:
            return await perdure.identity.WhoAmI(WhoAmIRequest())

    return who


async def cause(ask: Ask, text: str) -> str:
    """Why a token is not taken."""
    with pytest.raises(CallFailed) as refused:
        await ask(text)
    assert refused.value.reason == "UNAUTHENTICATED"
    assert text not in refused.value.message
    return refused.value.metadata["cause"]


@pytest.mark.parametrize(
    ("key", "algorithm"), [(OWN, "ES256"), (RSA, "RS256"), (RSA, "PS512"), (ED, "EdDSA"), (ED, "Ed25519")]
)
async def test_a_token_says_who_calls_until_when_and_as_what(ask: Ask, key: Any, algorithm: str) -> None:
    expires = int(time.time()) + 300

    who = await ask(token(key, algorithm, exp=expires, roles=["x", "everybody", "perdure-ops"]))

    assert (who.principal, who.authenticated, who.role) == ("users/ada", True, ROLE_OPERATOR)
    assert who.expire_time.ToMicroseconds() == expires * SECOND


def written(algorithm: str) -> str:
    """What is signed of a token, as whoever has no key writes it."""
    held = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": int(time.time()) + 600, "roles": ["everybody"]}
    return ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": algorithm, "kid": "one"}, held))


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def unsigned() -> str:
    return f"{written('none')}."


def signed_with_what_is_published() -> str:
    """By HMAC with the public key as its secret: who takes the header's word for the algorithm takes this."""
    signature = hmac.digest(OWN.as_pem(private=False), written("HS256").encode(), "sha256")
    return f"{written('HS256')}.{encoded(signature)}"


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (functools.partial(token, exp=1), "expired"),
        (functools.partial(token, exp=None), "unknown"),
        (functools.partial(token, exp="soon"), "unknown"),
        (functools.partial(token, exp=10**40), "unreadable"),
        (functools.partial(token, exp=float("inf")), "unknown"),
        (functools.partial(token, nbf=int(time.time()) + 3600), "unknown"),
        (functools.partial(token, iss="https://other.example"), "unknown"),
        (functools.partial(token, iss=None), "unknown"),
        (functools.partial(token, aud="another"), "unknown"),
        (functools.partial(token, aud=None), "unknown"),
        (functools.partial(token, sub=None), "unknown"),
        (functools.partial(token, sub=""), "unknown"),
        (functools.partial(token, sub="a\nb"), "unreadable"),
        (functools.partial(token, sub="s" * 201), "unreadable"),
        (functools.partial(token, roles=["nobody"]), "unmapped"),
        (functools.partial(token, roles=None), "unmapped"),
        (functools.partial(token, roles={"everybody": True}), "unmapped"),
        (functools.partial(token, OTHER), "unknown"),
        (functools.partial(token, OTHER, header={"kid": "one"}), "unknown"),
        (unsigned, "unknown"),
        (signed_with_what_is_published, "unknown"),
        (lambda: token()[:-4] + "AAAA", "unknown"),
        (lambda: "aaaa.bbbb.cccc", "unknown"),
        (lambda: "no-token-at-all", "unreadable"),
        (lambda: f"{token()}.x.y", "unreadable"),
    ],
)
async def test_a_token_that_is_not_as_it_should_be_is_refused(ask: Ask, make: Callable[[], str], wanted: str) -> None:
    assert await cause(ask, make()) == wanted


async def test_a_token_s_clock_may_be_half_a_minute_away(ask: Ask) -> None:
    now = int(time.time())

    assert (await ask(token(exp=now - 20, nbf=now + 20))).principal == "users/ada"


async def test_the_claim_of_roles_may_be_one_word_and_inside_another(serve: Any, file: pathlib.Path) -> None:
    service = await serve(**RULES, jwt_keys=str(file), jwt_role_claim="realm.access.role")

    async with Client(service.address, key=token(realm={"access": {"role": "everybody"}})) as perdure:
        who = await perdure.identity.WhoAmI(WhoAmIRequest())

    assert who.role == ROLE_VIEWER


def publish(file: pathlib.Path, content: str) -> None:
    file.write_text(content)


async def test_keys_in_a_file_are_read_again_when_they_change_and_kept_when_they_cannot_be(
    ask: Ask, file: pathlib.Path
) -> None:
    assert await cause(ask, token(OTHER)) == "unknown"
    publish(file, published(OTHER))

    assert (await ask(token(OTHER))).principal == "users/ada"
    assert await cause(ask, token(OWN)) == "unknown"
    publish(file, "nothing")
    assert (await ask(token(OTHER))).principal == "users/ada"


class Provider(http.server.BaseHTTPRequestHandler):
    """Publishes keys on this machine."""

    content = ""
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200 if self.content else 503)
        self.end_headers()
        self.wfile.write(self.content.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def provider() -> Iterator[tuple[str, type[Provider]]]:
    handler = type("OwnProvider", (Provider,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/keys", handler
        server.shutdown()
        thread.join()


async def test_keys_that_are_fetched_are_fetched_again_for_one_that_is_missing_but_not_for_each(
    provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = provider
    handler.content = published(OWN)
    keys = FetchedKeys(url)
    handler.content = published(OTHER)

    for _ in range(50):
        assert {key.kid for key in (await keys.get(newer=True)).keys} == {"one"}
    monkeypatch.setattr(signing_keys, "AGAIN_SECONDS", 0.0)
    after, several = await keys.get(newer=True), await asyncio.gather(*(keys.get() for _ in range(50)))

    assert {key.kid for key in after.keys} == {"two"}
    assert all(found is after for found in several)
    assert handler.asked == 2
    handler.content = ""
    assert (await keys.get(newer=True)) is after


async def test_a_token_of_a_key_that_is_new_is_taken_without_a_restart(
    serve: Any, provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = provider
    handler.content = published(OWN, RSA)
    service = await serve(**RULES, jwt_keys=url)
    handler.content = published(OWN, OTHER)
    monkeypatch.setattr(signing_keys, "AGAIN_SECONDS", 0.0)

    async with Client(service.address, key=token(OTHER)) as perdure:
        who = await perdure.identity.WhoAmI(WhoAmIRequest())

    assert (who.principal, handler.asked) == ("users/ada", 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "HTTP Error 503|Service Unavailable"),
        ("[]", "holds no JSON Web Key Set"),
        ('{"keys": []}', "holds no JSON Web Key Set"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ", "kid": "s"}]}', "holds a symmetric key"),
        (" " * (1024 * 1024 + 1), "answers with more than"),
    ],
)
def test_what_holds_no_keys_is_refused_at_the_start(provider: Any, content: str, said: str) -> None:
    url, handler = provider
    handler.content = content

    with pytest.raises(SigningKeysUnusable, match=said):
        FetchedKeys(url)


def test_a_file_that_is_not_there_is_refused_at_the_start(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SigningKeysUnusable, match="cannot be read"):
        FileKeys(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({**RULES}, "jwt_keys: is needed with jwt_issuer"),
        ({"jwt_keys": "a"}, "jwt_issuer: is needed with jwt_keys"),
        ({**RULES, "jwt_keys": "a", "authentication": "none"}, "authentication: must be required with jwt_issuer"),
        ({**RULES, "jwt_keys": "http://id.example/keys"}, "jwt_keys: 'http://id.example/keys' is not https"),
        ({**RULES, "jwt_keys": "a", "jwt_roles": ("ops=boss",)}, "jwt_roles: 'ops=boss' is not IDENTITY=ROLE"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"^{said}"):
        load_control_plane(None, flags)


async def test_a_caller_that_asks_for_too_much_is_told_when_to_come_again_and_others_are_served(
    serve: Any, file: pathlib.Path
) -> None:
    service = await serve(**RULES, jwt_keys=str(file), max_calls_per_second=0.5, max_streams=1)
    async with Client(service.address, key=token()) as ada, Client(service.address, key=token(sub="eve")) as eve:
        await ada.flows.ListFlows(ListFlowsRequest())
        with pytest.raises(CallFailed) as refused:
            await ada.flows.ListFlows(ListFlowsRequest())
        await eve.flows.ListFlows(ListFlowsRequest())

    failure = refused.value
    assert (failure.reason, failure.metadata["principal"]) == ("CALL_RATE_REACHED", "users/ada")
    assert failure.retry_delay is not None
    assert 0 < failure.retry_delay.total_seconds() <= 2
