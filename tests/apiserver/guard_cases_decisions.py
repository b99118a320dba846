"""Decisions, ModelDeployments, status and revisions."""

from apiserver.guard_cases import (
    DRY,
    Act,
    Case,
    allowed,
    apply,
    create,
    delete,
    delete_all,
    denied,
    edit,
    merge,
    remove,
    set_,
)
from apiserver.manifests import DIGEST, approval, changed, decision, deployment, revision
from apiserver.rest import Answer, Rest
from apiserver.world import HOME, TEAM, World, at

APPROVALS, DEPLOYMENTS, ONLY = "holdfast-approvals", "holdfast-deployments", "holdfast-operator-only"

PEOPLE = "decisions are taken by people; a service account cannot decide"
OWN_NAME = "spec.approver.username must be your own name"
FROZEN = "labels, owners and finalizers of a ModelApproval are never changed"
WITHDRAW = "an unsettled decision is withdrawn by the person who took it"
WRITTEN = "status and ModelRevisions are written by the operator only"
HISTORY = "ModelRevisions are the history of decisions"

STRAY_OWNER = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0ec1c5a6-1b0c-4ac9-9f4d-000000000000"}]


def decide(by: str, decision: str = "Approve", model: str = "chat") -> Act:
    return create(at("modelapprovals"), approval("new", by=by, decision=decision, deployment=model, namespace=TEAM))


def generated(by: str) -> Act:
    manifest = approval(by=by, namespace=TEAM)
    manifest["metadata"] = {"generateName": "chat-start-", "namespace": TEAM}
    return create(at("modelapprovals"), manifest)


CHAT = at("modeldeployments", "chat")
CHAT_STATUS = at("modeldeployments", "chat", sub="status")
REVISION = at("modelrevisions", "chat-1")
MODEL = "/spec/model/engine/args"
PROMOTED = {"status": {"phase": "Stable", "stable": {"revision": 9, "digest": DIGEST}}}


def write_status(person: Rest, world: World) -> Answer:
    return person.put(CHAT_STATUS, {**world.root.get(CHAT).must(), **PROMOTED}, **DRY)


def add_decision(person: Rest, world: World) -> Answer:
    stored = world.root.get(REVISION).must()
    return person.put(f"{REVISION}/status", {**stored, "status": {"decisions": [decision(), decision("two")]}}, **DRY)


def rewrite_revision(person: Rest, world: World) -> Answer:
    """What a storage migration does."""
    return person.put(REVISION, world.root.get(REVISION).must(), **DRY)


CASES: tuple[Case, ...] = (
    # decisions
    *(allowed(f"takes the decision {what}", "alice", decide("alice", what)) for what in ("Approve", "Reject", "Abort", "Resume")),
    allowed("falls back", "alice", decide("alice", "Fallback")),
    allowed("approves under a generated name", "alice", generated("alice")),
    allowed("falls back", "bob", decide("bob", "Fallback")),
    allowed("aborts", "bob", decide("bob", "Abort")),
    allowed("approves in their own name", "root", decide("admin")),
    *(
        denied(
            f"may not {what}", "bob", decide("bob", what), APPROVALS, f"bob may not {what} chat: that needs the verb approve on"
        )
        for what in ("Approve", "Reject", "Resume")
    ),
    denied("approves without the verb", "frank", decide("frank"), APPROVALS, "which the role holdfast-owner gives"),
    denied(
        "falls back without the verb", "frank", decide("frank", "Fallback"), APPROVALS, "holdfast-owner or holdfast-oncall gives"
    ),
    denied("approves another model", "alice", decide("alice", model="other"), APPROVALS, "modeldeployments.holdfast.dev/other"),
    denied("approves as bob", "alice", decide("bob"), APPROVALS, OWN_NAME + ", which is alice"),
    denied("approves as Alice", "alice", decide("Alice"), APPROVALS, OWN_NAME),
    denied("approves as alice", "root", decide("alice"), APPROVALS, OWN_NAME + ", which is admin"),
    denied("approves with every right", "argocd", decide("system:serviceaccount:argocd:argocd"), APPROVALS, PEOPLE),
    denied("approves as alice", "argocd", decide("alice"), APPROVALS, PEOPLE),
    denied("approves with the owner's role", "bot", decide(f"system:serviceaccount:{TEAM}:bot"), APPROVALS, PEOPLE),
    denied("approves", "a certificate of the bot", decide(f"system:serviceaccount:{TEAM}:bot"), APPROVALS, PEOPLE),
    denied("falls back", "argocd", decide("system:serviceaccount:argocd:argocd", "Fallback"), APPROVALS, PEOPLE),
    denied("approves", "heidi as alice", decide("alice"), "holdfast-impersonation", "sign in as yourself"),
    allowed("applies the same again", "frank", merge(at("modelapprovals", "by-alice"), {"spec": {"gate": "Start"}})),
    denied("relabels", "frank", merge(at("modelapprovals", "by-alice"), {"metadata": {"labels": {"a": "b"}}}), APPROVALS, FROZEN),
    denied(
        "adds a finalizer",
        "frank",
        merge(at("modelapprovals", "by-alice"), {"metadata": {"finalizers": ["example.com/hold"]}}),
        APPROVALS,
        FROZEN,
    ),
    denied(
        "sets an owner that is gone",
        "frank",
        merge(at("modelapprovals", "by-alice"), {"metadata": {"ownerReferences": STRAY_OWNER}}),
        APPROVALS,
        FROZEN,
    ),
    allowed("withdraws their own decision", "alice", delete(at("modelapprovals", "by-alice"))),
    allowed("withdraws another's with the verb", "alice", delete(at("modelapprovals", "by-bob"))),
    allowed("withdraws their own decision", "bob", delete(at("modelapprovals", "by-bob"))),
    denied("withdraws alice's decision", "bob", delete(at("modelapprovals", "by-alice")), APPROVALS, WITHDRAW),
    denied("withdraws bob's fallback", "frank", delete(at("modelapprovals", "by-bob")), APPROVALS, WITHDRAW),
    denied("prunes an unsettled decision", "argocd", delete(at("modelapprovals", "by-bob")), APPROVALS, WITHDRAW),
    denied("deletes all decisions", "frank", delete_all(at("modelapprovals")), APPROVALS, WITHDRAW),
    allowed("prunes a settled decision", "argocd", delete(at("modelapprovals", "settled"))),
    # ModelDeployments
    allowed("proposes another model", "dave", edit(CHAT, set_(MODEL, ["--enforce-eager"]))),
    allowed("proposes another model", "argocd", apply(CHAT, changed(deployment("chat", TEAM), {}), force=True)),
    allowed("scales", "dave", merge(at("modeldeployments", "chat", sub="scale"), {"spec": {"replicas": 3}})),
    allowed("changes the rollout", "dave", merge(CHAT, {"spec": {"rollout": {"loadDeadlineSeconds": 60}}})),
    allowed("keeps fewer pods warm", "dave", merge(CHAT, {"spec": {"fallback": {"standbyReplicas": 0}}})),
    allowed("creates a model", "dave", create(at("modeldeployments"), deployment("new", TEAM))),
    allowed("points the fallback elsewhere", "alice", edit(CHAT, set_("/spec/fallback/external/0/url", "https://b.example"))),
    denied(
        "points the fallback elsewhere",
        "dave",
        edit(CHAT, set_("/spec/fallback/external/0/url", "https://evil.example")),
        DEPLOYMENTS,
        "spec.fallback.external decides what answers during a fallback",
    ),
    denied(
        "removes the fallback", "dave", edit(CHAT, remove("/spec/fallback")), DEPLOYMENTS, "changing it needs the verb approve"
    ),
    allowed("deletes the model", "alice", delete(CHAT)),
    allowed("prunes the model", "argocd", delete(CHAT)),
    denied(
        "deletes the model",
        "dave",
        delete(CHAT),
        DEPLOYMENTS,
        "deleting chat takes the model from its users: that needs the verb",
    ),
    denied("deletes another model", "alice", delete(at("modeldeployments", "other")), DEPLOYMENTS, "deleting other takes"),
    denied("deletes all models", "frank", delete_all(at("modeldeployments")), DEPLOYMENTS, "takes the model from its users"),
    denied(
        "sets an owner that is gone",
        "dave",
        merge(CHAT, {"metadata": {"ownerReferences": STRAY_OWNER}}),
        DEPLOYMENTS,
        "an owner of a ModelDeployment can have it deleted",
    ),
    denied(
        "creates a model beside the operator",
        "root",
        create(at("modeldeployments", namespace=HOME), deployment("chat", HOME)),
        DEPLOYMENTS,
        "models do not run in the namespace of the operator",
    ),
    # status and revisions
    allowed("writes the status of a model", "operator", write_status),
    *(
        denied("promotes by writing status", who, write_status, ONLY, WRITTEN)
        for who in ("root", "argocd", "frank", "unbound operator", "a certificate of the operator", "root as the operator")
    ),
    denied(
        "patches the status of a model", "root", merge(CHAT_STATUS, PROMOTED), ONLY, "decide on its request: holdfast approve"
    ),
    denied(
        "settles a decision",
        "root",
        merge(at("modelapprovals", "by-bob", sub="status"), {"status": {"state": "Accepted"}}),
        ONLY,
        WRITTEN,
    ),
    allowed("creates a revision", "operator", create(at("modelrevisions"), revision(number=2, namespace=TEAM))),
    denied("creates a revision", "root", create(at("modelrevisions"), revision(number=2, namespace=TEAM)), ONLY, WRITTEN),
    denied(
        "creates a revision", "unbound operator", create(at("modelrevisions"), revision(number=2, namespace=TEAM)), ONLY, WRITTEN
    ),
    denied(
        "relabels a revision", "root", merge(REVISION, {"metadata": {"labels": {"holdfast.dev/deployment": "x"}}}), ONLY, WRITTEN
    ),
    allowed("adds a decision to a revision", "operator", add_decision),
    denied("adds a decision to a revision", "root", add_decision, ONLY, WRITTEN),
    allowed("writes a revision as it is", "root", rewrite_revision),
    allowed("deletes a revision as cluster administrator", "root", delete(REVISION)),
    denied("deletes a revision", "frank", delete(REVISION), ONLY, HISTORY),
    denied("deletes a revision", "argocd", delete(REVISION), ONLY, HISTORY),
)
