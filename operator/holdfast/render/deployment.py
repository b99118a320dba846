"""The children of a ModelDeployment. What runs for a revision is rendered by the version that the revision names."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from holdfast.api import engine_arguments, engine_environment
from holdfast.api.deployment import Serving
from holdfast.api.revision import ResolvedModel
from holdfast.domain.snapshot import DeploymentView, RevisionView
from holdfast.render.shared import shared_objects
from holdfast.render.version1 import objects as version1

__all__ = ["CURRENT_VERSION", "engine_objects", "problems", "shared_objects"]

CURRENT_VERSION: Final = 1
"""The version that new revisions are rendered by. Older ones stay for the revisions that name them."""


class _Renderer(Protocol):
    def engine_objects(
        self, deployment: DeploymentView, revision: RevisionView, serving: Serving, replicas: int
    ) -> list[dict[str, Any]]: ...

    def problems(self, model: ResolvedModel) -> list[str]: ...


_VERSIONS: Final[Mapping[int, _Renderer]] = {1: version1}


def engine_objects(deployment: DeploymentView, revision: RevisionView, replicas: int) -> list[dict[str, Any]]:
    """Return the ConfigMap, the headless Service and the Deployment of a revision.

    They depend on the revision, on ``spec.serving`` and on `replicas`; never on the operator's version or settings.

    Raises:
        ValueError: the deployment has no readable spec, or an older operator does not know the revision's render version.
    """
    if deployment.spec is None:
        raise ValueError(f"{deployment.meta.key}: its spec is not readable")
    version = revision.spec.render.version
    if version not in _VERSIONS:
        raise ValueError(f"{revision.meta.key}: render version {version} is newer than this operator")
    return _VERSIONS[version].engine_objects(deployment, revision, deployment.spec.serving or Serving(), replicas)


def problems(model: ResolvedModel) -> list[str]:
    """Return why a model cannot be run as declared: each with its field, what is wrong and what to write instead."""
    engine = model.engine
    refused = [
        f"spec.model.engine.args: {argument.split('=', 1)[0]} is refused: {why}"
        for argument in engine.args or ()
        if (why := engine_arguments.refusal(engine.type, argument))
    ] + [
        f"spec.model.engine.env: {variable.name} is refused: {why}"
        for variable in engine.env or ()
        if (why := engine_environment.refusal(engine.type, variable.name))
    ]
    return refused + _VERSIONS[CURRENT_VERSION].problems(model)
