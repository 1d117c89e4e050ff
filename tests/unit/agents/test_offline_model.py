"""The built-in model: it looks, and says what is there."""

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from perdure.v1 import instances_pb2
from perdure_executor.results import Failed, Succeeded

Tree = Callable[..., pathlib.Path]

PYPROJECT = '[project]\nname = "orrery"\nversion = "2.1.0"\ndescription = "Planets on a table."\n'
README = "# Orrery\n\nA clockwork of the planets.\n\n## Install\n\n## Use\n"


async def text_of(agents: Any, log: Any, **fields: Any) -> str:
    result = await agents.do(log, **fields)
    assert isinstance(result, Succeeded), result
    assert result.output is not None
    return str(result.output["text"])


async def test_the_report_says_what_the_tree_is_and_holds(tree: Tree, log: Any, agents_in: Any) -> None:
    root = tree({
        "README.md": README, "pyproject.toml": PYPROJECT, "LICENSE": "MIT",
        "src/orrery/gears.py": "# TODO: oil\n" * 10, ".git/HEAD": "ref: refs/heads/main",
    })  # fmt: skip

    text = await text_of(agents_in(root), log)

    for fact in (
        "The work tree holds 4 files, 261 bytes",
        "Folders: src (1 file, 120 bytes).",
        "Looked for and not found: a changelog, tests.",
        "Passed over: .git.",
        "- README.md (58 bytes, 7 lines): “Orrery”; sections: Install, Use",
        "name 'orrery'; version '2.1.0'; description 'Planets on a table.'",
        "“TODO” stands in 10 lines of 1 file (4 text files searched):",
        "- src/orrery/gears.py:1: # TODO: oil",
        "- and 4 more",
        "no language model was asked",
    ):
        assert fact in text


async def test_what_was_asked_stands_in_the_report_with_the_values_rendered_into_it(
    tree: Tree, log: Any, agents_in: Any
) -> None:
    prompt = "Judge the tree.\nThe tests said: {{ nodes.test.stdout }}"

    text = await text_of(
        agents_in(tree({})),
        log,
        prompt=prompt,
        sees={"nodes": {"test": {"stdout": "12 passed"}}},
        inputs={"for": "Ada"},
    )

    assert text.startswith(
        'Asked:\n> Judge the tree.\n> The tests said: 12 passed\n>\n> Inputs:\n> {\n>   "for": "Ada"\n> }'
    )


async def test_the_same_tree_and_prompt_give_the_same_report_and_another_tree_another(
    tree: Tree, log: Any, agents_in: Any
) -> None:
    files = {"README.md": README, "pyproject.toml": PYPROJECT}
    one, same = tree(files, "one"), tree(files, "same")
    other = tree({**files, "README.md": "# Sundial\n"}, "other")

    first = await text_of(agents_in(one), log)

    assert await text_of(agents_in(same), type(log)()) == first
    assert await text_of(agents_in(other), type(log)()) != first


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("Is docs/plan.md up to date?", "- docs/plan.md (7 bytes, 1 line): “Plan”"),
        ("What does the Makefile offer?", "- Makefile (12 bytes, 2 lines): targets: build, test"),
        ("Who still says `gadget`?", "“gadget” stands in 1 line of 1 file"),
        ('Is there a "flywheel" anywhere?', "“flywheel” stands nowhere"),
    ],
)
async def test_the_prompt_decides_what_is_looked_at(
    tree: Tree, log: Any, agents_in: Any, prompt: str, told: str
) -> None:
    root = tree({"README.md": README, "docs/plan.md": "# Plan\n", "Makefile": "build:\ntest:", "a/b.txt": "a gadget"})

    assert told in await text_of(agents_in(root), log, prompt=prompt)


async def test_an_empty_tree_and_one_of_binary_files_are_reported_as_they_are(
    tree: Tree, log: Any, agents_in: Any
) -> None:
    assert "The work tree holds 0 files, 0 bytes." in await text_of(agents_in(tree({}, "empty")), log)

    text = await text_of(agents_in(tree({"a.bin": b"\0"}, "binary")), type(log)())

    assert "Could not be looked at:\n- 'a.bin' is not text: a binary file of 1 bytes" in text


async def test_an_agent_without_tools_looks_at_nothing_and_says_so(tree: Tree, log: Any, agents_in: Any) -> None:
    text = await text_of(agents_in(tree({"README.md": README})), log, tools=[])

    assert "No file was looked at." in text
    assert log.kept == ["model.request#0"]


async def test_an_agent_without_a_listing_reads_what_the_prompt_names(tree: Tree, log: Any, agents_in: Any) -> None:
    text = await text_of(agents_in(tree({"a/b.md": "# B\n"})), log, tools=["read_file"], prompt="Read a/b.md.")

    assert "- a/b.md (4 bytes, 1 line): “B”" in text


SHAPE = {
    "type": "object",
    "properties": {
        "summary": {"type": "string"},
        "files": {"type": "array", "items": {"type": "string"}},
        "fileCount": {"type": "integer"},
        "has_tests": {"type": "boolean"},
        "has_planets": {"type": "boolean"},
        "language": {"enum": ["go", "python"]},
        "notes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "lines": {"type": "integer"}},
                "required": ["path", "lines"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["summary", "files", "fileCount", "notes"],
    "additionalProperties": False,
}


async def test_an_answer_of_a_given_shape_is_the_output_and_holds_what_was_found(
    tree: Tree, log: Any, agents_in: Any
) -> None:
    root = tree({"README.md": README + "Written in Python.\n", "pyproject.toml": PYPROJECT})

    result = await agents_in(root).do(log, output_schema=SHAPE)

    assert isinstance(result, Succeeded), result
    assert result.output is not None
    assert "The work tree holds 2 files" in result.output.pop("summary")
    assert result.output == {
        "files": ["README.md", "pyproject.toml"],
        "fileCount": 2,
        "has_tests": False,
        "has_planets": True,
        "language": "python",
        "notes": [{"path": "README.md", "lines": 8}, {"path": "pyproject.toml", "lines": 4}],
    }


async def test_a_shape_that_findings_do_not_fill_fails_and_names_the_place(
    tree: Tree, log: Any, agents_in: Any
) -> None:
    schema = {"type": "object", "properties": {"day": {"type": "string", "pattern": "^[0-9]{8}$"}}, "required": ["day"]}

    result = await agents_in(tree({})).do(log, output_schema=schema)

    assert isinstance(result, Failed)
    assert result.cause == instances_pb2.FAILURE_CAUSE_AGENT
    assert "no answer of the shape that is asked for: $.day" in result.message
