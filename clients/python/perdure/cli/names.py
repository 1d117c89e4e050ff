"""Names of things: every command takes a bare id or a full resource name."""

from typing import Final

import typer

from perdure.runlog.instances import NAME

_ARTICLES: Final = {"approval": "an approval", "agent": "an agent"}


def flow(text: str) -> str:
    """`flows/{flow}`."""
    return _named("flow", text)


def run(text: str) -> str:
    """`runs/{run}`."""
    return _named("run", text)


def session(text: str) -> str:
    """`sessions/{session}`."""
    return _named("session", text)


def approval(text: str) -> str:
    """`approvals/{approval}`."""
    return _named("approval", text)


def agent(text: str) -> str:
    """`agents/{agent}`."""
    return _named("agent", text)


def schedule(text: str) -> str:
    """`schedules/{schedule}`."""
    return _named("schedule", text)


def queue(text: str) -> str:
    """`queues/{queue}`."""
    return _named("queue", text)


def key(text: str) -> str:
    """`keys/{key}`."""
    return _named("key", text)


def webhook(text: str) -> str:
    """`webhooks/{webhook}`."""
    return _named("webhook", text)


def playbook(text: str) -> str:
    """`playbooks/{playbook}`."""
    return _named("playbook", text)


def version(text: str, version_id: str | None) -> str:
    """`playbooks/{playbook}/versions/{version}`, the version given beside the playbook or in its name."""
    stem, _, named = text.partition("/versions/")
    chosen = version_id or named
    if not chosen:
        raise typer.BadParameter("say which version: --version, or playbooks/{playbook}/versions/{version}")
    if named and version_id and named != version_id:
        raise typer.BadParameter(f"{text} and --version {version_id} name two versions")
    return f"{playbook(stem)}/versions/{_checked('version', chosen)}"


def task(session_text: str, task_text: str | None) -> str:
    """`sessions/{session}/tasks/{task}`, from both parts, or from the one full name."""
    full = task_text if task_text and "/tasks/" in task_text else session_text
    if "/tasks/" in full:
        stem, _, task_id = full.partition("/tasks/")
    elif task_text:
        stem, task_id = session_text, task_text.removeprefix("tasks/")
    else:
        raise typer.BadParameter("say which task: SESSION TASK, or sessions/{session}/tasks/{task}")
    return f"{session(stem)}/tasks/{_checked('task', task_id)}"


def bare(name: str) -> str:
    """The last id in a resource name."""
    return name.rpartition("/")[2]


def _named(kind: str, text: str) -> str:
    collection, _, bare_id = text.rpartition("/")
    if collection not in ("", f"{kind}s"):
        wanted = _ARTICLES.get(kind, f"a {kind}")
        raise typer.BadParameter(f"{text!r} does not name {wanted}; say {kind}s/{{{kind}}}, or its id alone")
    return f"{kind}s/{_checked(kind, bare_id)}"


def _checked(kind: str, bare_id: str) -> str:
    if not NAME.fullmatch(bare_id):
        raise typer.BadParameter(
            f"{bare_id!r} is no id of {'an' if kind[0] in 'ae' else 'a'} {kind}: 1 to 128 letters, digits, '.', '_' or '-'"
        )
    return bare_id
