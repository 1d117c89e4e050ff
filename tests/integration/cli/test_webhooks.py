"""`perdure webhooks`: what did not arrive is shown, sent again or dropped; and no log holds a secret."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.integration.cli.test_following import approve, held
from tests.receivers import SECRET, Receiver, receiver, text_of


@contextmanager
def listening(*answers: int | str) -> Iterator[Receiver]:
    """A receiver, in a thread of its own."""
    loop, stop, begun = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    made: list[Receiver] = []

    async def listen() -> None:
        async with receiver(answers) as hook:
            made.append(hook)
            begun.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(listen(),))
    thread.start()
    begun.wait()
    try:
        yield made[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def test_dead_letters_are_sent_again_or_dropped(own: Callable[..., Any], tmp_path: Any) -> None:
    with listening(500, 500, 200) as hook:
        (tmp_path / "secret").write_text(text_of(SECRET))
        settings = tmp_path / "server.toml"
        settings.write_text(f"""
            [control_plane]
            webhook_attempts = 1
            sweep_seconds = 0.05
            [[control_plane.webhooks]]
            name = "pager"
            url = "{hook.url}"
            secret_file = "{tmp_path / "secret"}"
        """)
        perdure = own("--settings", str(settings))
        flow = held(perdure)
        approve(perdure, flow)

        def dead(count: int) -> list[Any]:
            """The dead letters, when there are so many."""
            while len(lines := perdure("webhooks", "dead", "pager", "-o", "json").lines) != count:
                pass
            return list(lines)

        requested, decided = dead(2)
        again = perdure("webhooks", "retry", decided["name"], "--reason", "it is back", "-o", "json")
        while "arrived_deliveries" not in perdure.done("webhooks", "list"):
            pass
        dead(1)
        dropped = perdure("webhooks", "drop", "pager", "--all", "--yes", "-o", "json")
        none = perdure("webhooks", "retry", requested["name"])
        listed = perdure("webhooks", "list")
        perdure.server.end()

    assert [one["type"].rpartition(".")[2] for one in (requested, decided)] == ["requested", "decided"]
    assert (again.code, again.document["state"]) == (0, "STATE_PENDING")
    assert (dropped.code, dropped.document["name"]) == (0, requested["name"])
    assert none.code == 3
    assert listed.out.splitlines()[1].split()[:2] == ["pager", f"http://127.0.0.1:{hook.port}"]
    said = [json.loads(line) for line in perdure.server.log.read_text().splitlines() if line.startswith("{")]
    told = [line["event"] for line in said if line["event"].startswith("webhook.")]
    assert told == ["webhook.gave_up", "webhook.gave_up", "webhook.delivered"]
    hidden = ("path-secret", text_of(SECRET).strip(), "sensitive", "it is back", "Go on?")
    assert [word for word in hidden if word in perdure.server.log.read_text()] == []


def test_a_delivery_that_is_not_named_fully_is_asked_for(perdure: Any) -> None:
    told = perdure("webhooks", "retry", "pager")

    assert told.code == 2
    assert "or say --all of a webhook" in told.err
