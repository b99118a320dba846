"""From what the API server has to what renderers take."""

from datetime import UTC, datetime
from typing import Any, Final

from holdfast.api.names import Key, revision_name
from holdfast.cli.exits import CommandError
from holdfast.cli.objects import Deployment, Revision
from holdfast.domain.snapshot import DeploymentView, Meta, RevisionView

_NEVER: Final = datetime.fromtimestamp(0, UTC)
"""Nothing that is rendered depends on a time."""


def deployment(found: Deployment, raw: dict[str, Any]) -> DeploymentView:
    """Return a ModelDeployment as renderers take it.

    Raises:
        CommandError: its spec has what this version does not know.
    """
    if found.spec is None:
        raise CommandError(f"the spec of {found.name} has something that this version of holdfast does not know; update holdfast")
    meta = Meta(
        key=Key(found.namespace, found.name),
        uid=raw["metadata"]["uid"],
        resource_version="",
        generation=found.generation,
        created=_NEVER,
    )
    return DeploymentView(meta=meta, spec=found.spec, status=found.status)


def revision(deployment: DeploymentView, found: Revision) -> RevisionView:
    """Return a ModelRevision as renderers take it."""
    key = Key(deployment.meta.key.namespace, revision_name(deployment.meta.key.name, found.spec.number))
    meta = Meta(key=key, uid="", resource_version="", generation=1, created=found.created)
    return RevisionView(meta=meta, spec=found.spec, status=found.status)
