"""`perdure policy`."""

from typing import Annotated

import typer

from perdure.cli.connection import connected
from perdure.cli.lazy import noun
from perdure.cli.options import Output
from perdure.cli.printing.formats import Format, print_one
from perdure.client import Client
from perdure.v1.policies_pb2 import GetPolicyRequest, UpdatePolicyRequest, WarningCodes

app = noun("Policy: what the environment demands of a playbook version before flows may start from it.")


@app.command()
@connected
async def get(perdure: Client, output: Output = Format.TABLE) -> None:
    """Show the policy, who set it and why."""
    print_one(await perdure.policies.GetPolicy(GetPolicyRequest()), output)


@app.command("set")
@connected
async def set_policy(
    perdure: Client,
    block_warnings: Annotated[
        bool | None, typer.Option("--block-warnings/--allow-warnings", help="Whether any warning blocks a start.")
    ] = None,
    block: Annotated[
        list[str] | None,
        typer.Option("--block", metavar="CODE", help="A warning that does; in place of those before. Repeat for more."),
    ] = None,
    block_none: Annotated[bool, typer.Option("--block-none", help="Let none of those block any more.")] = False,
    require_review: Annotated[
        bool | None,
        typer.Option("--require-review/--no-require-review", help="Whether a publication must name a review."),
    ] = None,
    require_approval: Annotated[
        bool | None,
        typer.Option(
            "--require-approval/--no-require-approval",
            help="Whether a person must be asked where an effect must not be repeated.",
        ),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; shown with the policy.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Set what is demanded, for all control planes; what is not given stays as it is. Flows that have started go on."""
    if block and block_none:
        raise typer.BadParameter("either some block or none does", param_hint="'--block-none'")
    if not (block or block_none) and {block_warnings, require_review, require_approval} == {None}:
        raise typer.BadParameter(
            "say what is to be set: --block-warnings, --block, --require-review or --require-approval, or their opposites"
        )
    request = UpdatePolicyRequest(
        block_warnings=block_warnings,
        blocked_warnings=WarningCodes(codes=block or ()) if block or block_none else None,
        require_review=require_review,
        require_approval=require_approval,
        reason=reason,
    )
    print_one(await perdure.policies.UpdatePolicy(request), output)
