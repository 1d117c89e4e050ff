"""Calls a control plane: `Client` connects, `CallFailed` says what went wrong, and `pages` walks through lists.

Importing this package, before it imports gRPC, asks gRPC for its older event loop, which answers in two thirds of the
time of the newer one. A program that wants another one sets GRPC_EXPERIMENTS itself.
"""

import os

os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")

from perdure.client.client import Client  # gRPC reads the environment when it is imported
from perdure.client.errors import CallFailed, FieldFault
from perdure.client.pages import pages
from perdure.client.watches import FlowNews

__all__ = ["CallFailed", "Client", "FieldFault", "FlowNews", "pages"]
