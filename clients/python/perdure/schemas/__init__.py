"""JSON Schemas: whether a value is as one says, found out in bounded time whatever either of them holds.

Needs the package `jsonschema-rs`, which `perdure-server` brings along; neither the client nor the command line needs it.
"""
