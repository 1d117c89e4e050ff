"""The function that writes the report: an executor loads it with --functions."""

from perdure_executor.node_context import Call


def compose(call: Call) -> dict[str, object]:
    """One Markdown text out of what the nodes before have found. The same findings always give the same text."""
    tree, history, files = call.inputs["tree"], call.inputs["history"], call.inputs["files"]
    damage = history["printed"].strip() or f"git ended with exit code {history['exit_code']}"
    branch = "no branch" if tree["branch"] == "HEAD" else tree["branch"]
    commit = f"{tree['commit']} on {branch}, {tree['committed']}, by {tree['author']}: {tree['subject']}"
    lines = [
        f"# Release report: {tree['name']}",
        "",
        f"- commit {commit}",
        f"- commits: {tree['commits']}, tracked files: {files['files']}",
        f"- changed and not committed: {len(tree['changed']) or 'nothing'}",
        "",
        "## Checks",
        "",
        f"- history: {'every object is whole' if history['exit_code'] == 0 else damage}",
        f"- files: {files['faults'] or 'none'} with a fault",
        *(f"  - {fault}" for fault in files["first_faults"]),
        "",
        "## Summary",
        "",
        call.inputs["summary"],
    ]
    return {"report": "\n".join(lines) + "\n"}


FUNCTIONS = {"compose": compose}
