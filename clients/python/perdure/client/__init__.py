"""Calls a control plane: `Client` connects, `CallFailed` says what went wrong, and `pages` walks through lists."""

from perdure.client.client import Client
from perdure.client.errors import CallFailed, FieldFault
from perdure.client.pages import pages
from perdure.client.watches import FlowNews

__all__ = ["CallFailed", "Client", "FieldFault", "FlowNews", "pages"]
