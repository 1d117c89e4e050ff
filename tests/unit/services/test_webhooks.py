"""Webhooks: what settings may say of them, which addresses nothing is sent to, and what a signature is."""

import base64
import ipaddress
import pathlib
from typing import Any

import pytest

from perdure_services.settings import SettingsInvalid, load_control_plane
from perdure_services.webhook_calls import CallFailed, require_allowed
from perdure_services.webhook_keys import WebhookKeys
from perdure_services.webhook_settings import WebhookSettings, WebhookUnusable

SECRET = f"whsec_{base64.b64encode(b'0123456789abcdef01234567').decode()}"
HOOK = {"name": "pager", "url": "https://pager.example/hooks", "secret_variable": "PAGER"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "http://pager.example/"}, r"webhooks\.0\.url: is not https"),
        ({"url": "ftp://pager.example/"}, r"webhooks\.0\.url: is not https"),
        ({"url": "https:///hooks"}, r"webhooks\.0\.url: is no address"),
        ({"url": "https://pager.example:99999/"}, r"webhooks\.0\.url: Port out of range"),
        ({"url": "https://pager.example/a b"}, r"webhooks\.0\.url: is no address"),
        ({"url": "https://ada:hidden@pager.example/"}, r"webhooks\.0\.url: holds a user"),
        ({"url": "https://pager.example/#there"}, r"webhooks\.0\.url: holds a user or a fragment"),
        ({"secret": "hidden"}, r"webhooks\.0: a secret does not stand in the settings"),
        ({"previous_secret": "hidden"}, r"webhooks\.0: a secret does not stand in the settings"),
        ({"secret_file": "/run/pager"}, r"webhooks\.0: name one place of the secret"),
        ({"secret_variable": ""}, r"webhooks\.0: name one place of the secret"),
        (
            {"previous_secret_file": "a", "previous_secret_variable": "b"},
            r"webhooks\.0: name one place of the secret b",
        ),
        ({"events": ["requested", "escalate!"]}, r"webhooks\.0\.events\.1: 'escalate!' is none of requested, "),
        ({"name": "a b"}, r"webhooks\.0\.name: 'a b' is not 1 to 128"),
        ({"colour": "blue"}, r"webhooks\.0\.colour: unknown setting"),
    ],
)
def test_a_webhook_that_is_not_as_it_should_be_is_refused_by_its_field(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"^{said}") as refused:
        load_control_plane(None, {"webhooks": [{**HOOK, **given}]})

    assert "hidden" not in str(refused.value)


def test_two_webhooks_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsInvalid, match=r"^webhooks: two of them are called 'pager'"):
        load_control_plane(None, {"webhooks": [HOOK, HOOK]})


def test_webhooks_may_stand_in_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "PERDURE_CONTROL_PLANE_WEBHOOKS",
        '[{"name": "pager", "url": "https://pager.example:8443/a?b=c", "secret_variable": "PAGER", "events": ["decided"]}]',
    )

    (hook,) = load_control_plane(None, {}).webhooks

    assert (hook.webhook.endpoint, hook.webhook.kinds) == ("https://pager.example:8443", {"DECIDED"})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_on_loopback_nothing_needs_to_be_encrypted(host: str) -> None:
    (hook,) = load_control_plane(None, {"webhooks": [{**HOOK, "url": f"http://{host}:1234/"}]}).webhooks

    assert hook.url == f"http://{host}:1234/"


@pytest.mark.parametrize(
    "secret", ["", "plain", "whsec_", "whsec_!!!", "whsec_c2hvcnQ=", SECRET.removeprefix("whsec_")]
)
def test_what_is_no_secret_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("PAGER", secret)

    with pytest.raises(WebhookUnusable) as refused:
        WebhookKeys(WebhookSettings(**HOOK))

    assert str(refused.value).startswith(
        "webhooks: secret_variable of pager: PAGER holds no secret: whsec_ and then 24"
    )
    assert not secret or secret == "whsec_" or secret not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "none"

    with pytest.raises(WebhookUnusable, match=f"secret_file of pager: {file} cannot be read: No such file"):
        WebhookKeys(WebhookSettings(**{**HOOK, "secret_variable": "", "secret_file": file}))


def test_a_signature_is_the_one_that_others_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    # Computed with openssl: printf 'msg.1700000000.{}' | openssl dgst -sha256 -mac HMAC -macopt key:... -binary | base64
    monkeypatch.setenv("PAGER", SECRET)

    headers = dict(WebhookKeys(WebhookSettings(**HOOK)).headers("msg", 1700000000, b"{}"))

    assert headers["webhook-signature"] == "v1,JNRjXnJHBZ7ENc9eDefHshnYuSUsxmOLO61UigJLvHQ="
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg", "1700000000")


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254", "100.100.100.200",
        "0.0.0.0", "::", "224.0.0.1", "ff02::1", "240.0.0.1", "255.255.255.255", "127.0.0.1", "::1", "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
    ],
)  # fmt: skip
def test_a_name_that_stands_for_a_place_of_a_hosts_own_is_sent_nothing(address: str) -> None:
    with pytest.raises(CallFailed, match="stands for"):
        require_allowed(ipaddress.ip_address(address), "pager.example")


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("10.1.2.3", "pager.example"), ("192.168.1.1", "pager.example"), ("fd12::1", "pager.example"),
        ("93.184.215.14", "pager.example"), ("2606:2800::1", "pager.example"), ("64:ff9b::5db8:d70e", "pager.example"),
        ("127.0.0.1", "localhost"), ("::1", "localhost"), ("::1", "::1"), ("127.0.0.1", "127.0.0.1"),
    ],
)  # fmt: skip
def test_other_addresses_those_of_private_networks_among_them_are_sent_to(address: str, host: str) -> None:
    require_allowed(ipaddress.ip_address(address), host)


def test_a_loopback_name_that_stands_for_another_machine_is_sent_nothing() -> None:
    with pytest.raises(CallFailed, match="another machine"):
        require_allowed(ipaddress.ip_address("10.1.2.3"), "localhost")
