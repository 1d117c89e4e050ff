"""TLS: a server and its callers know each other by certificates, and those may change while it runs."""

import asyncio
import contextlib
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from perdure.client import CallFailed, Client
from perdure.client.tls import Tls, TlsUnusable
from perdure.v1.identities_pb2 import WhoAmIRequest
from perdure.v1.keys_pb2 import CreateKeyRequest
from perdure.v1.roles_pb2 import ROLE_EXECUTOR, ROLE_OPERATOR, ROLE_VIEWER
from perdure_control_plane.domain.roles import Role
from perdure_services.caller_keys import Wanted, new_key
from perdure_services.server_tls import CertificateUnusable
from perdure_services.settings import SettingsInvalid, load_control_plane
from tests.authorities import Authority, Signed, authority

HERE = ("127.0.0.1", "localhost")
CLIENT_ROLES = ("spiffe://site/work/*=executor", "spiffe://site/ops=operator", "eve=viewer")


@pytest.fixture
def ca(tmp_path: pathlib.Path) -> Authority:
    return authority(tmp_path / "ca")


@pytest.fixture
def other(tmp_path: pathlib.Path) -> Authority:
    return authority(tmp_path / "other")


@pytest.fixture
def shown(ca: Authority) -> Signed:
    """The server's certificate."""
    return ca.sign("server", *HERE)


@pytest.fixture
async def root(data_dir: pathlib.Path) -> str:
    """An admin's key, made before the server runs."""
    return (await new_key(load_control_plane(None, {"data_dir": data_dir}), Wanted("root", Role.ADMIN, 0)))[1]


@pytest.fixture
def secured(serve: Any, data_dir: pathlib.Path, root: str, shown: Signed) -> Callable[..., Any]:
    """Starts a server with TLS that asks who calls."""

    async def start(*stack: Any, **flags: Any) -> Any:
        files = {"tls_certificate": shown.certificate, "tls_key": shown.key}
        return await serve(*stack, data_dir=data_dir, authentication="required", **files, **flags)

    return start


def client(service: Any, tls: Tls, key: str = "") -> Client:
    credentials = tls.credentials(service.address, has_key=bool(key))
    return Client(service.address, key=key, credentials=credentials, attempts=1)


async def who(service: Any, tls: Tls, key: str = "") -> Any:
    """Who the server takes a caller for, over a connection of its own."""
    async with client(service, tls, key) as perdure:
        return await perdure.identity.WhoAmI(WhoAmIRequest())


async def failure(service: Any, tls: Tls, key: str = "") -> CallFailed:
    with pytest.raises(CallFailed) as failed:
        await who(service, tls, key)
    return failed.value


async def test_what_is_said_is_encrypted_and_only_to_a_server_that_is_known(
    secured: Any, root: str, ca: Authority, other: Authority
) -> None:
    service = await secured()

    known = await who(service, Tls(str(ca.certificate)), root)
    unknown = await failure(service, Tls(str(other.certificate)), root)
    plain = await failure(service, Tls(), root)

    assert known.principal == "keys/root"
    assert [one.code for one in (unknown, plain)] == [grpc.StatusCode.UNAVAILABLE] * 2


async def test_a_certificate_that_was_replaced_is_shown_to_whoever_connects_and_others_stay(
    secured: Any, root: str, ca: Authority, other: Authority, shown: Signed
) -> None:
    service = await secured()
    async with client(service, Tls(str(ca.certificate)), root) as before:
        await before.identity.WhoAmI(WhoAmIRequest())
        replacing(shown, other.sign("server", *HERE))

        after = await who(service, Tls(str(other.certificate)), root)
        still = await before.identity.WhoAmI(WhoAmIRequest())

    assert after.principal == still.principal == "keys/root"
    assert (await failure(service, Tls(str(ca.certificate)), root)).code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("broken", ["nothing", "another's key", "gone"])
async def test_a_certificate_that_cannot_be_used_replaces_none(
    secured: Any, root: str, ca: Authority, shown: Signed, broken: str
) -> None:
    service = await secured()
    match broken:
        case "nothing":
            shown.certificate.write_text("no certificate\n")
        case "gone":
            shown.key.unlink()
        case _:
            shutil.copy(ca.sign("another", *HERE).key, shown.key)

    assert (await who(service, Tls(str(ca.certificate)), root)).principal == "keys/root"


def replacing(old: Signed, new: Signed) -> None:
    shutil.copy(new.certificate, old.certificate)
    shutil.copy(new.key, old.key)


async def test_a_caller_is_who_its_certificate_says(secured: Any, root: str, ca: Authority, other: Authority) -> None:
    service = await secured(tls_client_ca=ca.certificate, tls_client_roles=CLIENT_ROLES)
    showing = {
        name: Tls(str(ca.certificate), signed.certificate, signed.key)
        for name, signed in (
            ("worker", ca.sign("worker", "spiffe://site/work/one")),
            ("ops", ca.sign("eve-too", "spiffe://site/ops")),
            ("eve", ca.sign("eve")),
            ("stranger", ca.sign("stranger", "spiffe://site/workers")),
            ("false", ca.sign("spiffe://site/ops")),
            ("foreign", other.sign("eve")),
        )
    }

    found = {name: await who(service, showing[name]) for name in ("worker", "ops", "eve")}
    refused = {name: await failure(service, showing[name]) for name in ("stranger", "false", "foreign")}
    by_key = await who(service, showing["eve"], root)
    none = await failure(service, Tls(str(ca.certificate)), root)

    assert [(one.principal, one.role, one.authenticated) for one in found.values()] == [
        ("spiffe://site/work/one", ROLE_EXECUTOR, True),
        ("spiffe://site/ops", ROLE_OPERATOR, True),
        ("certificates/eve", ROLE_VIEWER, True),
    ]
    assert [refused[name].metadata.get("cause") for name in ("stranger", "false")] == ["unmapped", "missing"]
    assert [one.code for one in (refused["foreign"], none)] == [grpc.StatusCode.UNAVAILABLE] * 2
    assert by_key.principal == "keys/root"


async def test_where_certificates_say_who_calls_no_key_is_needed_to_start(
    serve: Any, data_dir: pathlib.Path, ca: Authority, shown: Signed
) -> None:
    service = await serve(
        data_dir=data_dir,
        authentication="required",
        tls_certificate=shown.certificate,
        tls_key=shown.key,
        tls_client_ca=ca.certificate,
        tls_client_roles=("boss=admin",),
    )
    boss = ca.sign("boss")

    async with client(service, Tls(str(ca.certificate), boss.certificate, boss.key)) as perdure:
        made = await perdure.keys.CreateKey(CreateKeyRequest(key="first", role=ROLE_VIEWER))

    assert made.key.creator == "certificates/boss"


async def test_an_executor_works_over_tls_with_a_certificate(
    secured: Any, hire: Any, ca: Authority, shown: Signed
) -> None:
    service = await secured(tls_client_ca=ca.certificate, tls_client_roles=CLIENT_ROLES)
    own = ca.sign("worker", "spiffe://site/work/one")

    worker = await hire(service, tls_ca=str(ca.certificate), tls_certificate=own.certificate, tls_key=own.key)

    assert worker.connected.is_set()


async def test_an_executor_shows_the_certificate_that_it_has_when_it_connects(
    secured: Any, hire: Any, ca: Authority, shown: Signed
) -> None:
    own, next_one = (ca.sign(name, f"spiffe://site/work/{name}") for name in ("one", "two"))
    async with contextlib.AsyncExitStack() as before:
        service = await secured(
            before, tls_client_ca=ca.certificate, tls_client_roles=["spiffe://site/work/one=executor"]
        )
        worker = await hire(service, tls_ca=str(ca.certificate), tls_certificate=own.certificate, tls_key=own.key)
    replacing(own, next_one)

    only = ["spiffe://site/work/two=executor"]
    await secured(port=int(service.address.rpartition(":")[2]), tls_client_ca=ca.certificate, tls_client_roles=only)

    async with asyncio.timeout(30):
        await worker.connected.wait()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"tls_certificate": "a"}, "tls_key: is needed with tls_certificate"),
        ({"tls_key": "a"}, "tls_certificate: is needed with tls_key"),
        ({"tls_client_ca": "a"}, "tls_certificate: is needed with tls_client_ca"),
        ({"tls_client_roles": ("eve=viewer",)}, "tls_client_ca: is needed with tls_client_roles"),
        (
            {"tls_certificate": "a", "tls_key": "b", "tls_client_ca": "c"},
            "authentication: must be required with tls_client_ca",
        ),
        ({"tls_client_roles": ("eve",)}, "tls_client_roles: 'eve' is not IDENTITY=ROLE"),
        ({"tls_client_roles": ("eve=queen",)}, "tls_client_roles: 'eve=queen' is not IDENTITY=ROLE"),
        ({"host": "0.0.0.0"}, "host: 0.0.0.0 is not loopback, .* set authentication = required"),
        (
            {"host": "0.0.0.0", "authentication": "required"},
            "host: 0.0.0.0 is not loopback, .* set tls_certificate and tls_key, or tls_in_front",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused_with_what_is_missing(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"^{said}"):
        load_control_plane(None, flags)


@pytest.mark.parametrize("beside", [{"tls_certificate": "a", "tls_key": "b"}, {"tls_in_front": True}])
def test_another_address_than_loopback_is_served_where_callers_are_known_and_nothing_is_said_in_plain_text(
    beside: dict[str, Any],
) -> None:
    settings = load_control_plane(None, {"host": "0.0.0.0", "authentication": "required", **beside})

    assert settings.host == "0.0.0.0"


async def test_a_server_does_not_start_with_a_certificate_that_it_cannot_use(
    serve: Any, data_dir: pathlib.Path, root: str, ca: Authority, shown: Signed
) -> None:
    flags = {"data_dir": data_dir, "authentication": "required", "tls_certificate": shown.certificate}
    with pytest.raises(CertificateUnusable, match="are not a certificate and its own key"):
        await serve(**flags, tls_key=ca.sign("another").key)
    shown.key.chmod(0o644)
    with pytest.raises(CertificateUnusable, match="chmod 600"):
        await serve(**flags, tls_key=shown.key)
    with pytest.raises(CertificateUnusable, match="cannot be read"):
        await serve(**flags, tls_key=data_dir / "nothing")


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        (Tls(), "a key is not sent to 10.0.0.1:7400 in plain text"),
        (Tls("/nowhere"), "/nowhere cannot be read"),
        (Tls(__file__), "holds no certificate of a CA"),
        (Tls("system", pathlib.Path("a")), "are given together"),
        (Tls("", pathlib.Path("a"), pathlib.Path("b")), "is shown over TLS only"),
    ],
)
def test_what_a_client_cannot_do_is_refused_before_anything_is_sent(tls: Tls, said: str) -> None:
    with pytest.raises(TlsUnusable, match=said):
        tls.credentials("10.0.0.1:7400", has_key=True)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/run/perdure"])
def test_on_this_machine_a_key_may_be_sent_in_plain_text(address: str) -> None:
    assert Tls().credentials(address, has_key=True) is None
    assert Tls("none").credentials("10.0.0.1:7400", has_key=True) is None
