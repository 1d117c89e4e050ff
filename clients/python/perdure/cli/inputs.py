"""What a flow is started with, from the options of a command line."""

import json
import pathlib
from typing import Annotated, Any

import typer

from perdure.cli.json_text import json_object_or_file, json_or_text
from perdure.cli.request_file import read_request_file
from perdure.v1.flows_pb2 import FlowRequest

Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="KEY=VALUE",
        help="One input; repeat for more. A value that reads as JSON is JSON (3, true, [1, 2]); any other is text.",
    ),
]
InputJson = Annotated[
    str | None,
    typer.Option("--input-json", metavar="JSON", help="All inputs as a JSON object, or @FILE. --input adds to it."),
]
Content = Annotated[
    str | None, typer.Option("--content", metavar="TEXT", help="Free text of the request, seen by every node.")
]
RequestFile = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--request-file", metavar="FILE", help="The request as JSON; - reads standard input. Other options win over it."
    ),
]


def flow_request(
    request_file: pathlib.Path | None, input_json: str | None, inputs: list[str] | None, content: str | None
) -> FlowRequest:
    """The request that the options add up to. Raises BadParameter."""
    request = read_request_file(request_file) if request_file is not None else FlowRequest()
    given: dict[str, Any] = json.loads(request.input or b"{}")
    if input_json is not None:
        given = json_object_or_file(input_json, "--input-json")
    given.update(_pairs(inputs or []))
    if given or request.input:
        request.input = json.dumps(given).encode()
    if content is not None:
        request.content = content
    return request


def _pairs(texts: list[str]) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for text in texts:
        key, mark, value = text.partition("=")
        if not (key and mark):
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="'--input'")
        if key in pairs:
            raise typer.BadParameter(f"{key!r} is given twice; say it once", param_hint="'--input'")
        pairs[key] = json_or_text(value, "--input", f"the value of {key!r}")
    return pairs
