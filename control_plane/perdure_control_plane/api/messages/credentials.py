"""Which secrets there are, as a message."""

from perdure.v1 import credentials_pb2
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.credential import Inventory


def inventory(value: Inventory) -> credentials_pb2.CredentialInventory:
    """Which secrets there are."""
    keys = value.keys
    message = credentials_pb2.CredentialInventory(
        caller_keys=credentials_pb2.CallerKeyCounts(
            live=keys.live,
            expired=keys.expired,
            revoked=keys.revoked,
            oldest_time=timestamp(keys.oldest_at),
            next_expire_time=timestamp(keys.next_expiry_at),
        )
    )
    for one in value.server:
        message.server_credentials.add(
            purpose=credentials_pb2.ServerCredential.Purpose.Value(f"PURPOSE_{one.purpose}"),
            key_id=one.key_id,
            present=one.is_present,
            current=one.is_current,
            write_time=timestamp(one.written_at),
        )
    for found in value.providers:
        message.providers.add(
            provider=found.provider, executors=found.executors, executors_without=found.executors_without
        )
    return message
