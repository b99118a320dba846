"""What the queue holds: the things that are reconciled as one."""

from typing import NamedTuple

from holdfast.api.names import Key


class GatewayKey(NamedTuple):
    """The gateway of a namespace."""

    namespace: str


QueueKey = Key | GatewayKey
"""A ModelDeployment, or the gateway of a namespace."""
