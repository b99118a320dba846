"""The promises, as a witness: it sees every write of the operator and every route that is in force, and believes no status.

What it holds the operator to comes from people's own objects and from Envoy's own files (`model.people`, `model.envoys`).
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from builders import NAME, NAMESPACE
from holdfast.api import names
from holdfast.api.names import TOTAL_WEIGHT, Key
from holdfast.api.revision import ResolvedModel
from holdfast.cluster import kinds
from holdfast.cluster.kinds import Kind
from holdfast.cluster.port import Manifest
from holdfast.domain.artifacts import artifacts_digest
from holdfast.render.gateway.layout import ROUTES_FILE
from model.envoys import revision_of, routes_of
from model.fake_cluster import Call, FakeCluster
from model.nodes import CHANGED, Nodes, runs_engine
from model.people import People

_DIGEST: Final = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_ROUTES: Final = Key(NAMESPACE, names.GATEWAY_ROUTES)
_MAY: Final[Mapping[Kind, frozenset[tuple[str, str]]]] = {
    kinds.MODEL_DEPLOYMENT: frozenset({("update", "status")}),
    kinds.MODEL_REVISION: frozenset({("create", ""), ("update", "status")}),
    kinds.MODEL_APPROVAL: frozenset({("update", "status")}),
    kinds.POD: frozenset({("patch", "")}),
    kinds.EVENT: frozenset({("create", "")}),
}
"""What the operator may do to kinds that are not its children."""
_OURS: Final = (names.ANNOTATION_CONFIG, names.ANNOTATION_QUARANTINE, names.ANNOTATION_VERIFY, names.LABEL_FETCHING)
"""Annotations of pods that the operator sets, and the label that it takes off them."""
_TRYING: Final = frozenset(
    {"Preparing", "Shifting", "Soaking", "AwaitingPromotion", "Promoting", "Aborting", "Fallback"},
)


class Witness:
    """Watches one cluster over all processes of the operator.

    Attributes:
        broken: what was seen to be broken. An assertion inside a call would be the operator's to handle, so it is kept here.
    """

    def __init__(self, cluster: FakeCluster, nodes: Nodes, people: People) -> None:
        self.cluster = cluster
        self.nodes = nodes
        self.people = people
        self.broken: list[str] = []
        self.removed: set[str] = set()
        """Engines that the operator deleted or scaled to nothing, and has not brought back."""
        self._approved: set[int] = set()
        self._templates: dict[tuple[str, str], list[Manifest]] = {}
        self._begun: tuple[Call, Manifest | None] | None = None
        cluster.before_call = self._begin

    def hold(self) -> None:
        """Check everything that must be true at every moment.

        Raises:
            AssertionError: it is not, or was not at some write since the last time.
        """
        self._check_routes()
        assert not self.broken, "\n".join(self.broken)

    def landed(self) -> None:
        """Take that the call that was begun has had its effect, if it was to have any."""
        if self._begun is None:
            return
        call, before = self._begun
        self._begun = None
        assert call.key is not None
        after = self.cluster.view(call.kind).get(call.key)
        if before is not after:
            self._judge(call, before, after)
            self._check_routes()

    def _begin(self, call: Call) -> None:
        self._begun = (call, self.cluster.view(call.kind).get(call.key)) if call.is_write and call.key is not None else None

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.broken.append(what)

    # writes

    def _judge(self, call: Call, before: Manifest | None, after: Manifest | None) -> None:
        what = f"{call.verb} {call.kind.kind} {call.key.name if call.key else ''}"
        may = _MAY.get(call.kind)
        self._expect(may is None or (call.verb, call.subresource) in may, f"{what}: not the operator's to do")
        if call.kind in (*kinds.OWN, kinds.POD) and before is not None and after is not None:
            self._expect(_owners_part(before) == _owners_part(after), f"{what}: changes what is not the operator's")
        if call.kind is kinds.POD and after is not None:
            self._judge_pod(what, before, after)
        if call.kind is kinds.DEPLOYMENT:
            self._judge_deployment(what, before, after)
        elif call.kind is kinds.MODEL_REVISION and after is not None:
            self._judge_revision(what, before, after)
        elif call.kind is kinds.MODEL_APPROVAL and before is not None:
            self._expect(not (before.get("status") or {}).get("state"), f"{what}: settled twice")
        elif call.kind is kinds.MODEL_DEPLOYMENT and before is not None and after is not None:
            Transitions(self, what, before, after).judge()

    def _judge_pod(self, what: str, before: Manifest | None, after: Manifest) -> None:
        """Only a pod that is not what was approved is taken out of traffic, and only once; and none is let out whose engine runs."""
        labels = after["metadata"]["labels"]
        opened = before is not None and names.LABEL_FETCHING in labels.keys() - before["metadata"]["labels"].keys()
        self._expect(not (opened and runs_engine(after)), f"{what}: let out with its engine")
        marks = after["metadata"].get("annotations", {})
        earlier = (before or {"metadata": {}})["metadata"].get("annotations", {})
        if marks.get(names.ANNOTATION_QUARANTINE) != earlier.get(names.ANNOTATION_QUARANTINE):
            self._expect(names.ANNOTATION_QUARANTINE not in earlier, f"{what}: out of traffic twice")
            self._expect(CHANGED in marks, f"{what}: out of traffic, and it is what was approved")

    def _judge_deployment(self, what: str, before: Manifest | None, after: Manifest | None) -> None:
        """No pin, no pod; and a template is a function of the revision and of ``spec.serving``, whatever the operator's version."""
        shown = after or before
        assert shown is not None
        labels = shown["metadata"]["labels"]
        name, number = shown["metadata"]["name"], labels.get(names.LABEL_REVISION)
        if labels[names.LABEL_COMPONENT] == names.COMPONENT_ENGINE:
            if after is not None and after["spec"]["replicas"] > 0:
                self.removed.discard(name)
            elif before is not None and before["spec"]["replicas"] > 0:
                self.removed.add(name)
        if after is None:
            return
        pod = after["spec"]["template"]["spec"]
        images = [each.get("image", "") for each in (*pod.get("initContainers", ()), *pod["containers"])]
        self._expect(all(_DIGEST.fullmatch(image) for image in images), f"{what}: runs {images}")
        if number is None:
            return
        revision = self.cluster.view(kinds.MODEL_REVISION).get(Key(NAMESPACE, name))
        assert revision is not None, f"{what}: there is no such revision"
        needed = f"--artifacts-digest={artifacts_digest(ResolvedModel.parse(revision['spec']['model']))}"
        containers = (*pod.get("initContainers", ()), *pod["containers"])
        verifiers = [each for each in containers if each["name"].split("-")[0] == "weights"]
        told = bool(verifiers) and all(needed in each["args"] for each in verifiers)
        self._expect(told, f"{what}: pods that are not held to {needed}")
        self._expect(revision["spec"]["model"]["engine"]["image"] in images, f"{what}: another engine than the revision's")
        self._expect(self._started(int(number)), f"{what}: nobody approved revision {number}")
        known = self._templates.setdefault((name, shown["metadata"]["uid"]), [])
        known += [pod] if pod not in known else []
        self._expect(len(known) <= len(self.people.servings), f"{what}: its pods change, and nobody changed anything")

    def _judge_revision(self, what: str, before: Manifest | None, after: Manifest) -> None:
        recorded = decisions_of(after)
        if before is None:
            others = [
                each for key, each in self.cluster.view(kinds.MODEL_REVISION).items() if key.name != after["metadata"]["name"]
            ]
            mine = [each for each in others if each["spec"]["deployment"] == NAME]
            numbers = [each["spec"]["number"] for each in mine]
            self._expect(after["spec"]["number"] == max(numbers, default=0) + 1, f"{what}: a number is skipped or used twice")
            self._expect(after["spec"]["digest"] not in [each["spec"]["digest"] for each in mine], f"{what}: the digest has one")
            return
        known = decisions_of(before)
        self._expect(recorded[: len(known)] == known, f"{what}: decisions are append-only")
        uids = [each["uid"] for revision in self.cluster.view(kinds.MODEL_REVISION).values() for each in decisions_of(revision)]
        self._expect(len(uids) == len(set(uids)), f"{what}: a decision is used twice")
        for decision in recorded[len(known) :]:
            self._expect(self.made(decision), f"{what}: nobody made the decision {decision}")
        promoted, now = (_moment((each.get("status") or {}).get("promotedAt")) for each in (before, after))
        self._expect(now >= promoted, f"{what}: its promotion is taken back")

    # people

    def made(self, decision: Mapping[str, Any]) -> bool:
        """Say whether a person made this decision, exactly so."""
        found = self.people.decisions.get(str(decision["uid"]))
        if found is None:
            return False
        spec = found["spec"]
        told = (spec["decision"], spec.get("gate"), spec["target"].get("request"), spec["target"].get("base"))
        same = told == (decision["decision"], decision.get("gate"), decision.get("request"), decision.get("base"))
        return same and spec["approver"]["username"] == decision["by"]

    def approved(self, digest: str, gate: str, *, request: int | None = None) -> bool:
        """Say whether a person opened a gate to a digest (for this request), and the operator has it on record."""
        return any(
            decision.get("gate") == gate and request in (None, decision["request"]) and self.about(decision) == digest
            for decision in self._recorded()
        )

    def about(self, decision: Mapping[str, Any]) -> object:
        """Return the digest that a decision names, None if nobody made it so."""
        return self.people.decisions[str(decision["uid"])]["spec"]["target"].get("digest") if self.made(decision) else None

    def _recorded(self) -> Iterable[Mapping[str, Any]]:
        for revision in self.cluster.view(kinds.MODEL_REVISION).values():
            yield from decisions_of(revision)
        last = self.people.status().get("lastDecision")
        if last is not None:
            yield last

    def _started(self, number: int) -> bool:
        if number not in self._approved:
            revision = self.cluster.view(kinds.MODEL_REVISION).get(Key(NAMESPACE, names.revision_name(NAME, number)))
            if revision is None or not self.approved(revision["spec"]["digest"], "Start"):
                return False
            self._approved.add(number)  # once and for all: decisions are append-only
        return True

    # routes

    def _check_routes(self) -> None:
        published = (self.cluster.view(kinds.CONFIG_MAP).get(_ROUTES) or {}).get("data")
        if published is not None and ROUTES_FILE in published:
            self._check_route("the published route", routes_of(published[ROUTES_FILE]))
        for envoy in self.nodes.envoys.values():
            if envoy.leaving and not envoy.running:
                continue  # it will not start again
            self._check_route(f"gateway pod {envoy.name}", envoy.routes())

    def _check_route(self, who: str, routes: Mapping[str, Mapping[str, int]]) -> None:
        # A person may fall back to what stands by without pods; they are made while requests arrive already.
        forced = self.people.status().get("fallback", {}).get("revision")
        for clusters in routes.values():
            self._expect(sum(clusters.values()) in (0, TOTAL_WEIGHT), f"{who} has weights {dict(clusters)}")
            for cluster, weight in clusters.items():
                number = revision_of(cluster)
                if number is None or weight == 0:
                    continue
                self._expect(self._started(number), f"{who} leads to revision {number}, which nobody approved")
                gone = names.revision_name(NAME, number) in self.removed and number != forced
                self._expect(not gone, f"{who} leads to revision {number}, whose engine was taken away")


class Transitions:
    """One change of a ModelDeployment's status: no role changes without its decision."""

    def __init__(self, witness: Witness, what: str, before: Manifest, after: Manifest) -> None:
        self._witness = witness
        self._what = what
        self._before: Manifest = before.get("status") or {}
        self._after: Manifest = after.get("status") or {}
        last = self._after.get("lastDecision")
        self._fresh = last if last is not None and last != self._before.get("lastDecision") else None

    def judge(self) -> None:
        """Tell the witness what is wrong."""
        if self._fresh is not None:
            self._expect(self._witness.made(self._fresh), f"nobody made the decision {self._fresh}")
            known = self._before.get("lastDecision")
            self._expect(known is None or known["uid"] != self._fresh["uid"], "a decision is used twice")
        if "fallback" in self._before and "fallback" not in self._after:
            self._expect(self._decided("Resume"), "leaves fallback without a person")
        if self._before.get("fallback", {}).get("approval") != self._after.get("fallback", {}).get("approval"):
            self._expect(self._decided("Fallback") or self._decided("Resume"), "falls back without a person")
        if (self._after.get("phase") == "Fallback") != ("fallback" in self._after):
            self._expect(False, f"is in the phase {self._after.get('phase')} with fallback {self._after.get('fallback')}")
        if "candidate" in self._after and self._after["phase"] not in _TRYING:
            self._expect(False, f"has a candidate in the phase {self._after['phase']}")
        self._judge_roles()
        request, asked = self._before.get("request"), self._after.get("request")
        if request is not None:
            self._expect(asked is not None and asked["number"] >= request["number"], "request numbers go back")

    def _judge_roles(self) -> None:
        stable, now_stable = self._digest("stable")
        if stable != now_stable:
            self._expect(now_stable is not None, "loses its stable revision")
            first = stable is None and self._witness.approved(str(now_stable), "Start")
            promoted = self._witness.approved(str(now_stable), "Promote", request=self._request())
            self._expect(first or promoted or self._decided("Resume"), f"makes {now_stable} stable, and nobody promoted it")
        good, now_good = self._digest("lastKnownGood")
        if good != now_good:
            self._expect(now_good == stable and stable != now_stable, "changes the last known good by itself")
        candidate, now_candidate = self._digest("candidate")
        if now_candidate is not None and now_candidate != candidate:
            asked = self._fresh is not None and self._fresh.get("gate") == "Start"
            about = self._witness.about(self._fresh) if self._fresh is not None else None
            self._expect(asked and about == now_candidate, f"tries {now_candidate} unasked")
        intent = self._after.get("candidate", {}).get("weightIntent", 0)
        if intent == TOTAL_WEIGHT and stable is not None:
            promoted = self._witness.approved(str(now_candidate), "Promote", request=self._request())
            self._expect(promoted, f"promotes {now_candidate} unasked")

    def _request(self) -> int | None:
        number: int | None = self._before.get("request", {}).get("number")
        return number

    def _digest(self, role: str) -> tuple[str | None, str | None]:
        return self._before.get(role, {}).get("digest"), self._after.get(role, {}).get("digest")

    def _decided(self, decision: str) -> bool:
        return self._fresh is not None and self._fresh["decision"] == decision

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            self._witness.broken.append(f"{self._what}: {what}")


def decisions_of(revision: Manifest) -> list[Mapping[str, Any]]:
    """Return the decisions that a ModelRevision records."""
    found: list[Mapping[str, Any]] = (revision.get("status") or {}).get("decisions") or []
    return found


def _moment(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text is not None else datetime.min.replace(tzinfo=UTC)


def _owners_part(manifest: Manifest) -> Manifest:
    """Return what belongs to whoever made the object: all but status, what the API server counts, and our own marks."""
    apart = ("resourceVersion", "annotations", "labels")
    metadata = {name: value for name, value in manifest["metadata"].items() if name not in apart}
    marks = {
        field: {name: text for name, text in manifest["metadata"].get(field, {}).items() if name not in _OURS}
        for field in ("annotations", "labels")
    }
    return {**{name: value for name, value in manifest.items() if name != "status"}, "metadata": {**metadata, **marks}}
