"""The Secret with which the weights containers of a namespace sign what they verified.

It is created and never read: the operator has no right to read Secrets. So it is asked for just before each workload that mounts
it, and that it is there already is the usual answer. A restart therefore asks for nothing.
"""

import base64
from collections.abc import Callable
from typing import Final

from holdfast.api import names
from holdfast.cluster import kinds
from holdfast.cluster.errors import AlreadyExists
from holdfast.cluster.port import Cluster

KEY_BYTES: Final = 32
"""As many as SHA-256, which the signatures use, puts out (RFC 2104, section 3)."""


class Seals:
    """Makes sure that a namespace has its Secret.

    Args:
        cluster: where to create it.
        random_bytes: returns so many bytes that nobody can guess, as `secrets.token_bytes` does.
    """

    def __init__(self, cluster: Cluster, random_bytes: Callable[[int], bytes]) -> None:
        self._cluster = cluster
        self._random_bytes = random_bytes

    async def ensure(self, namespace: str) -> None:
        """Create the Secret if there is none.

        Raises:
            Failure: the API server refused it or could not be asked.
        """
        manifest = {
            "apiVersion": "v1",
            "kind": kinds.SECRET.kind,
            "metadata": {
                "namespace": namespace,
                "name": names.SEAL_SECRET,
                "labels": {names.LABEL_COMPONENT: names.COMPONENT_WEIGHTS},
            },
            "immutable": True,
            "type": "Opaque",
            "data": {names.SEAL_KEY: base64.b64encode(self._random_bytes(KEY_BYTES)).decode()},
        }
        try:
            await self._cluster.create(kinds.SECRET, manifest)
        except AlreadyExists:
            return
