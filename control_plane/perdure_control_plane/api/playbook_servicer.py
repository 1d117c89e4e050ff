"""PlaybookService."""

from typing import Any

from perdure.v1 import playbooks_pb2, playbooks_pb2_grpc
from perdure_control_plane.api import names, requests
from perdure_control_plane.api.interceptors import caller
from perdure_control_plane.api.messages import playbooks as messages
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.api.source_formats import source_format
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.usecases.convert_playbook import convert_playbook
from perdure_control_plane.usecases.create_playbook_version import create_playbook_version
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.publish_playbook_version import publish_playbook_version
from perdure_control_plane.usecases.revoke_playbook_version import revoke_playbook_version
from perdure_control_plane.usecases.validate_playbook import validate_playbook


class PlaybookServicer(playbooks_pb2_grpc.PlaybookServiceServicer):
    """Keeps playbooks."""

    def __init__(self, store: Store, limits: Limits, pages: Pages) -> None:
        self._store = store
        self._limits = limits
        self._pages = pages

    async def ValidatePlaybook(
        self, request: playbooks_pb2.ValidatePlaybookRequest, context: Any
    ) -> playbooks_pb2.ValidatePlaybookResponse:
        """Checks a manifest."""
        text = requests.document(request.document, self._limits)
        return messages.validation(await validate_playbook(self._store, text))

    async def ConvertPlaybook(
        self, request: playbooks_pb2.ConvertPlaybookRequest, context: Any
    ) -> playbooks_pb2.ConvertPlaybookResponse:
        """Makes a manifest of a document for another system."""
        text = requests.document(request.document, self._limits)
        return messages.conversion(await convert_playbook(text, source_format(request.source)))

    async def CreatePlaybookVersion(
        self, request: playbooks_pb2.CreatePlaybookVersionRequest, context: Any
    ) -> playbooks_pb2.PlaybookVersion:
        """Stores a version."""
        text = requests.document(request.document, self._limits)
        request_id = requests.request_id(request.request_id)
        return messages.playbook_version(await create_playbook_version(self._store, caller(), text, request_id))

    async def PublishPlaybookVersion(
        self, request: playbooks_pb2.PublishPlaybookVersionRequest, context: Any
    ) -> playbooks_pb2.PlaybookVersion:
        """Makes a version startable."""
        version = await publish_playbook_version(self._store, caller(), requests.publishing(request))
        return messages.playbook_version(version)

    async def RevokePlaybookVersion(
        self, request: playbooks_pb2.RevokePlaybookVersionRequest, context: Any
    ) -> playbooks_pb2.PlaybookVersion:
        """Takes a version out of use."""
        version = await revoke_playbook_version(self._store, caller(), requests.revoking(request))
        return messages.playbook_version(version)

    async def GetPlaybook(self, request: playbooks_pb2.GetPlaybookRequest, context: Any) -> playbooks_pb2.Playbook:
        """Shows a playbook."""
        playbook_id = names.playbook_id(request.name)
        return messages.playbook(await self._store.read(lambda tx: tx.playbooks.get(playbook_id)))

    async def GetPlaybookVersion(
        self, request: playbooks_pb2.GetPlaybookVersionRequest, context: Any
    ) -> playbooks_pb2.PlaybookVersion:
        """Shows a version."""
        playbook_id, version = names.playbook_version(request.name)
        found = await self._store.read(lambda tx: tx.playbooks.get_version(playbook_id, version))
        return messages.playbook_version(found)

    async def ListPlaybooks(
        self, request: playbooks_pb2.ListPlaybooksRequest, context: Any
    ) -> playbooks_pb2.ListPlaybooksResponse:
        """Lists playbooks."""
        size, after = self._pages.size(request.page_size), self._pages.position(request) or ""
        found = await self._store.read(lambda tx: tx.playbooks.page(after, size))
        listed, token = self._pages.page(
            request, found, size, lambda playbook: playbook.playbook_id, messages.playbook_summary
        )
        return playbooks_pb2.ListPlaybooksResponse(playbooks=listed, next_page_token=token)
