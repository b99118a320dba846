"""Are the objects that the operator made of a revision those that Holdfast renders for it?"""

from collections.abc import Iterator
from typing import Any

from holdfast.api import names
from holdfast.api.names import Key
from holdfast.cli.cluster import Cluster
from holdfast.cli.exits import CommandError
from holdfast.cli.verify.finding import Check, DifferenceError, Verified
from holdfast.cluster import kinds
from holdfast.cluster.diff import first_difference
from holdfast.domain.snapshot import DeploymentView, RevisionView
from holdfast.render import deployment as renderer

Object = dict[str, Any]


def engines(cluster: Cluster, deployment: DeploymentView) -> dict[int, Object]:
    """Return the Deployments of the engines of a ModelDeployment, by the number of their revision.

    Raises:
        DifferenceError: one claims to be of a revision that it cannot be of.
    """
    selector = f"{names.LABEL_DEPLOYMENT}={deployment.meta.key.name},{names.LABEL_COMPONENT}={names.COMPONENT_ENGINE}"
    found: dict[int, Object] = {}
    for live in cluster.listed(kinds.DEPLOYMENT, selector):
        name, number = live["metadata"]["name"], live["metadata"]["labels"].get(names.LABEL_REVISION, "")
        if not number.isdecimal() or name != names.revision_name(deployment.meta.key.name, int(number)):
            raise DifferenceError(Check.OBJECTS, f"Deployment {name}", f"it is labelled as the engine of revision {number!r}")
        found[int(number)] = live
    return found


def check(
    cluster: Cluster, deployment: DeploymentView, revisions: dict[int, RevisionView], live: dict[int, Object]
) -> Iterator[Verified]:
    """Compare every object of the revisions that have an engine, and those that all share.

    Raises:
        DifferenceError: an object is missing, somebody else's, or not as rendered.
        CommandError: this command line is older than what rendered a revision.
    """
    stable = deployment.status.stable
    if stable is not None and stable.revision not in live and deployment.status.fallback is None:
        name = names.revision_name(deployment.meta.key.name, stable.revision)
        raise DifferenceError(Check.OBJECTS, f"Deployment {name}", "it is missing, and its revision serves")
    for desired in renderer.shared_objects(deployment):
        yield _compared(cluster, deployment, desired, None)
    for number, engine in sorted(live.items()):
        revision = revisions.get(number)
        if revision is None:
            about = f"Deployment {engine['metadata']['name']}"
            raise DifferenceError(Check.OBJECTS, about, f"it runs, and revision {number} has no role")
        try:
            rendered = renderer.engine_objects(deployment, revision, engine["spec"]["replicas"])
        except ValueError as error:
            raise CommandError(f"{error}; update holdfast") from error
        for desired in rendered:
            is_engine = desired["kind"] == kinds.DEPLOYMENT.kind
            yield _compared(cluster, deployment, desired, engine if is_engine else None)


def _compared(cluster: Cluster, deployment: DeploymentView, desired: Object, live: Object | None) -> Verified:
    kind = kinds.of(desired)
    key = Key(desired["metadata"]["namespace"], desired["metadata"]["name"])
    about = f"{kind.kind} {key.name}"
    live = live or cluster.read(kind, key.name)
    if live is None:
        raise DifferenceError(Check.OBJECTS, about, "it is missing")
    live = {"apiVersion": kind.api_version, "kind": kind.kind, **live}  # items of a list do not say it
    owners: list[Object] = live["metadata"].get("ownerReferences") or []
    owner = next((each for each in owners if each.get("controller")), {})
    if "ownerReferences" in desired["metadata"] and owner.get("uid") != deployment.meta.uid:
        raise DifferenceError(Check.OBJECTS, about, f"it is not the operator's: {owner.get('kind') or 'nobody'} controls it")
    if kind is kinds.JOB and any(each.get("status") == "True" for each in (live.get("status") or {}).get("conditions") or ()):
        return Verified(check=Check.OBJECTS, about=about, message="it has ended, and runs nothing any more")
    difference = first_difference(kind, desired, live)
    if difference is not None:
        raise DifferenceError(Check.OBJECTS, about, difference)
    return Verified(check=Check.OBJECTS, about=about, message="as Holdfast renders it")
