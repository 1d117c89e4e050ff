"""Contracts of nodes and edges, as a plan holds them."""

from perdure.v1 import plans_pb2
from perdure_control_plane.manifests.compiled_values import json_of
from perdure_control_plane.manifests.model import EdgeContract, Needs, PromisedFile, Promises


def needs(given: Needs) -> plans_pb2.Needs:
    """What a node requires."""
    return plans_pb2.Needs(source=given.source or "", fields=given.fields, schema=json_of(given.json_schema))


def promises(given: Promises) -> plans_pb2.Promises:
    """What a node ensures."""
    return plans_pb2.Promises(
        fields=given.fields,
        schema=json_of(given.json_schema),
        exit_code=given.exit_code,
        files=map(_file, given.output_files),
    )


def edge_contract(given: EdgeContract) -> plans_pb2.EdgeContract:
    """What an edge says."""
    return plans_pb2.EdgeContract(ensures=given.ensures, requires=given.requires, schema=json_of(given.json_schema))


def _file(given: PromisedFile) -> plans_pb2.PromisedFile:
    return plans_pb2.PromisedFile(
        path=given.path, min_bytes=given.min_bytes, max_bytes=given.max_bytes, sha256=given.sha256
    )
