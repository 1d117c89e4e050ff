"""The truth: playbooks, flows, runs and approvals.

`domain` values and rules, pure · `manifests` from a document to a plan · `usecases` one verb a file · `storage` all SQL ·
`api` the protobuf face. Imports point from `api` and `storage` to `usecases` to `domain`, never back.
"""
