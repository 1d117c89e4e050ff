"""`perdure playbooks`: from a manifest to a version that may be started, and out of use again."""

import pathlib
import shlex
import sys
from enum import StrEnum
from typing import Annotated

import typer
from google.protobuf.json_format import ParseDict, ParseError

from perdure.cli import names
from perdure.cli.asking import confirm_where_possible
from perdure.cli.connection import connected
from perdure.cli.exit_codes import ExitCode
from perdure.cli.json_text import parse_json
from perdure.cli.lazy import noun
from perdure.cli.lists import DEFAULT_LIMIT, list_items, page_size
from perdure.cli.manifests import read_document, show_conversion, show_diagnostics, write_conversion
from perdure.cli.options import EvidenceRefs, FurtherEvidence, Limit, ManifestFile, Output, PlaybookName, Yes
from perdure.cli.printing.formats import Format, print_one
from perdure.client import Client, pages
from perdure.v1.playbooks_pb2 import (
    PUBLICATION_ACTIVE,
    PUBLICATION_CANARY,
    PUBLICATION_DRAFT,
    PUBLICATION_VERIFIED,
    SOURCE_FORMAT_CANTBOOK,
    SOURCE_FORMAT_UNSPECIFIED,
    SOURCE_FORMAT_WORKFLOW,
    ConvertPlaybookRequest,
    CreatePlaybookVersionRequest,
    Evidence,
    GetPlaybookRequest,
    GetPlaybookVersionRequest,
    ListPlaybooksRequest,
    PlaybookVersion,
    PublishPlaybookVersionRequest,
    RevokePlaybookVersionRequest,
    ValidatePlaybookRequest,
)

app = noun("Playbooks: reviewed procedures, in versions that never change and are published with evidence.")


class Status(StrEnum):
    """What a version can be published as."""

    VERIFIED = "verified"
    CANARY = "canary"
    ACTIVE = "active"


class Source(StrEnum):
    """What a document for another system is written in."""

    CANTBOOK = "cantbook"
    WORKFLOW = "workflow"


_SOURCES = {Source.CANTBOOK: SOURCE_FORMAT_CANTBOOK, Source.WORKFLOW: SOURCE_FORMAT_WORKFLOW}

_PUBLICATIONS = {
    Status.VERIFIED: PUBLICATION_VERIFIED,
    Status.CANARY: PUBLICATION_CANARY,
    Status.ACTIVE: PUBLICATION_ACTIVE,
}

VersionOption = Annotated[
    str | None, typer.Option("--version", metavar="VERSION", help="The version, where its name does not say it.")
]
Digest = Annotated[str, typer.Option("--digest", metavar="SHA256", help="Digest of the version, as it was reviewed.")]


@app.command()
@connected
async def validate(perdure: Client, manifest_file: ManifestFile, output: Output = Format.TABLE) -> ExitCode:
    """Check a manifest and say what its digest would be. Stores nothing; exits with 1 where it has faults."""
    request = ValidatePlaybookRequest(document=read_document(manifest_file))
    found = await perdure.playbooks.ValidatePlaybook(request)
    if output is Format.TABLE:
        show_diagnostics(found)
        found.ClearField("errors")
        found.ClearField("warnings")
    print_one(found, output)
    if found.valid:
        typer.echo(f"store it: perdure playbooks create --manifest-file {shlex.quote(str(manifest_file))}", err=True)
    return ExitCode.OK if found.valid else ExitCode.FAILURE


@app.command()
@connected
async def convert(
    perdure: Client,
    file: Annotated[pathlib.Path, typer.Argument(metavar="FILE", help="The document; - reads standard input.")],
    source: Annotated[Source | None, typer.Option("--from", help="What it is written in; found out otherwise.")] = None,
    out: Annotated[pathlib.Path | None, typer.Option("--out", metavar="FILE", help="Where the manifest goes.")] = None,
    output_dir: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--output-dir", metavar="DIR", help="Where it goes, with the playbooks that it starts, a file each."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where anything could not be carried over.")
    ] = False,
    output: Output = Format.TABLE,
) -> ExitCode:
    """Make a manifest of a playbook for another system, and say what of it is not there. Stores nothing.

    Workflows in a workflow spec become playbooks of their own, to be stored and published before the one that starts them.
    Exits with 1 where no manifest that validates can be made.
    """
    if out is not None and output_dir is not None:
        raise typer.BadParameter("say --out or --output-dir, not both", param_hint="'--out'")
    document = read_document(file, "FILE")
    request = ConvertPlaybookRequest(
        document=document, source=_SOURCES[source] if source else SOURCE_FORMAT_UNSPECIFIED
    )
    converted = await perdure.playbooks.ConvertPlaybook(request)
    if out is not None and converted.children:
        raise typer.BadParameter("it becomes several playbooks: say --output-dir", param_hint="'--out'")
    written = write_conversion(converted, out, output_dir)
    if output is Format.TABLE:
        show_conversion(converted, written)
    else:
        print_one(converted, output)
    valid = converted.review.valid and all(child.review.valid for child in converted.children)
    return ExitCode.OK if valid and not (strict and converted.losses) else ExitCode.FAILURE


@app.command()
@connected
async def create(perdure: Client, manifest_file: ManifestFile, output: Output = Format.TABLE) -> None:
    """Store a version as a draft. The same manifest again is the same version; a changed one needs another version."""
    request = CreatePlaybookVersionRequest(document=read_document(manifest_file))
    created = await perdure.playbooks.CreatePlaybookVersion(request)
    _print_version(created, output)
    if created.publication == PUBLICATION_DRAFT:
        evidence = """--evidence-refs-json '[{"kind": "review", "id": "..."}]'"""
        typer.echo(f"publish it: perdure playbooks publish {_which(created)} {evidence}", err=True)


@app.command()
@connected
async def publish(
    perdure: Client,
    playbook: PlaybookName,
    digest: Digest,
    evidence_refs_json: EvidenceRefs,
    version: VersionOption = None,
    status: Annotated[Status, typer.Option("--status", help="What to publish it as.")] = Status.ACTIVE,
    output: Output = Format.TABLE,
) -> None:
    """Make a version startable, with evidence for it. A version published as active takes the place of the last one."""
    request = PublishPlaybookVersionRequest(
        name=names.version(playbook, version),
        digest=digest,
        publication=_PUBLICATIONS[status],
        evidence=_evidence(evidence_refs_json),
    )
    published = await perdure.playbooks.PublishPlaybookVersion(request)
    _print_version(published, output)
    typer.echo(f"start it: perdure flows start --playbook-id {_which(published)} --session-id SESSION", err=True)


@app.command()
@connected
async def revoke(
    perdure: Client,
    playbook: PlaybookName,
    digest: Digest,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the history. Required.")],
    version: VersionOption = None,
    evidence_refs_json: FurtherEvidence = None,
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Take a version out of use for good. What has started from it goes on."""
    request = RevokePlaybookVersionRequest(
        name=names.version(playbook, version),
        digest=digest,
        reason=reason,
        evidence=_evidence(evidence_refs_json),
    )
    confirm_where_possible(f"Revoke {request.name} for good?", yes)
    _print_version(await perdure.playbooks.RevokePlaybookVersion(request), output)


@app.command()
@connected
async def get(
    perdure: Client,
    playbook: PlaybookName,
    version: VersionOption = None,
    manifest: Annotated[
        bool, typer.Option("--manifest", help="Write the manifest alone, as it was given; needs a version.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Show a playbook and its versions; or one version, with its manifest and every change of its publication."""
    if not (version or manifest or "/versions/" in playbook):
        print_one(await perdure.playbooks.GetPlaybook(GetPlaybookRequest(name=names.playbook(playbook))), output)
        return
    request = GetPlaybookVersionRequest(name=names.version(playbook, version))
    found = await perdure.playbooks.GetPlaybookVersion(request)
    if manifest:
        sys.stdout.buffer.write(found.document.text)
    else:
        print_one(found, output)


@app.command("list")
@connected
async def list_playbooks(perdure: Client, limit: Limit = DEFAULT_LIMIT, output: Output = Format.TABLE) -> None:
    """List playbooks by id, with their latest and their active version."""
    request = ListPlaybooksRequest(page_size=page_size(limit))
    await list_items(pages(perdure.playbooks.ListPlaybooks, request), lambda page: page.playbooks, limit, output)


def _print_version(version: PlaybookVersion, output: Format) -> None:
    """Prints a version; for people without the manifest that they have just given."""
    if output is Format.TABLE:
        version.ClearField("document")
    print_one(version, output)


def _which(version: PlaybookVersion) -> str:
    playbook, _, version_id = version.name.removeprefix("playbooks/").partition("/versions/")
    return f"{playbook} --version {version_id} --digest {version.digest}"


def _evidence(text: str | None) -> list[Evidence]:
    option = "--evidence-refs-json"
    try:
        given = {"evidence": parse_json(text or "[]", option)}
        return list(ParseDict(given, PublishPlaybookVersionRequest()).evidence)
    except (ValueError, ParseError) as error:
        wanted = 'it is not a JSON list of {"kind": ..., "id": ..., "description": ...}'
        raise typer.BadParameter(wanted, param_hint=f"'{option}'") from error
