"""The CustomResourceDefinitions, generated from the models: ``python -m holdfast.api.crd [--write FOLDER ...]``."""

import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from holdfast.api.approval import ModelApprovalSpec, ModelApprovalStatus
from holdfast.api.base import ApiModel
from holdfast.api.crd_formats import APPROVAL_FORMATS, DEPLOYMENT_FORMATS
from holdfast.api.crd_rule import Rule, regex
from holdfast.api.crd_rules import APPROVAL_RULES, REVISION_RULES, deployment_rules
from holdfast.api.crd_schema import Schema, at, structural_schema
from holdfast.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus
from holdfast.api.names import GROUP, VERSION
from holdfast.api.revision import ModelRevisionSpec, ModelRevisionStatus

Columns = tuple[tuple[str, str, str, int], ...]
"""Name, type, path and priority (0 is always shown, 1 with ``-o wide``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What there is to say about a kind beside its models."""

    kind: str
    short: str
    description: str
    spec: type[ApiModel]
    status: type[ApiModel]
    columns: Columns
    selectable: tuple[str, ...]
    scale: Mapping[str, str] | None = None
    formats: Mapping[str, str] = field(default_factory=dict)
    map_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Lists whose items are told apart by these fields; all other lists are replaced as a whole."""

    @property
    def plural(self) -> str:
        """The resource's name."""
        return self.kind.lower() + "s"

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules of the kind that are written by hand."""
        match self.kind:
            case "ModelDeployment":
                image = at(structural_schema(self.spec), "model.engine.image")["pattern"]
                return deployment_rules(image)
            case "ModelApproval":
                return APPROVAL_RULES
            case _:
                return REVISION_RULES


_AGE: Final = ("Age", "date", ".metadata.creationTimestamp", 0)

DEPLOYMENT: Final = Kind(
    kind="ModelDeployment",
    short="hmd",
    description=(
        "A model in production: an exact, verified identity of weights, tokenizer, template, engine and arguments (spec.model), "
        "and how it is served. The model changes only when its owner decides: a change of spec.model is a request that waits for "
        "a ModelApproval."
    ),
    spec=ModelDeploymentSpec,
    status=ModelDeploymentStatus,
    columns=(
        ("Phase", "string", ".status.phase", 0),
        ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status", 0),
        ("Stable", "integer", ".status.stable.revision", 0),
        ("Candidate", "integer", ".status.candidate.revision", 0),
        ("Weight", "integer", ".status.candidate.weightObserved", 0),
        ("Approved", "string", ".status.conditions[?(@.type=='Approved')].reason", 0),
        _AGE,
        ("Pinned", "string", ".status.conditions[?(@.type=='Pinned')].status", 1),
        ("Moved", "string", ".status.conditions[?(@.type=='UpstreamMoved')].status", 1),
        ("Request", "integer", ".status.request.number", 1),
        ("ApprovedBy", "string", ".status.stable.approvedBy", 1),
        ("Digest", "string", ".status.stable.digest", 1),
        ("Message", "string", ".status.message", 1),
    ),
    selectable=(".status.phase",),
    scale={"specReplicasPath": ".spec.serving.replicas", "statusReplicasPath": ".status.readyReplicas"},
    formats=DEPLOYMENT_FORMATS,
    map_keys={"spec.fallback.external": ("name",), "status.conditions": ("type",)},
)
REVISION: Final = Kind(
    kind="ModelRevision",
    short="hmr",
    description=(
        "An immutable snapshot of a resolved model with the sha256 of every file, and the decisions taken on it. Written by the "
        "operator only; it outlives its ModelDeployment."
    ),
    spec=ModelRevisionSpec,
    status=ModelRevisionStatus,
    columns=(
        ("Deployment", "string", ".spec.deployment", 0),
        ("Number", "integer", ".spec.number", 0),
        ("Repository", "string", ".spec.model.source.huggingFace.repository", 0),
        ("Commit", "string", ".spec.model.source.huggingFace.commit", 0),
        ("Promoted", "date", ".status.promotedAt", 0),
        _AGE,
        ("Digest", "string", ".spec.digest", 1),
        ("Engine", "string", ".spec.model.engine.type", 1),
        ("Image", "string", ".spec.model.engine.image", 1),
    ),
    selectable=(".spec.deployment", ".spec.digest"),
)
APPROVAL: Final = Kind(
    kind="ModelApproval",
    short="hma",
    description=(
        "One person's decision on one request of a ModelDeployment: immutable, used once, and taken in the person's own name."
    ),
    spec=ModelApprovalSpec,
    status=ModelApprovalStatus,
    columns=(
        ("Deployment", "string", ".spec.target.name", 0),
        ("Decision", "string", ".spec.decision", 0),
        ("Gate", "string", ".spec.gate", 0),
        ("By", "string", ".spec.approver.username", 0),
        ("State", "string", ".status.state", 0),
        ("Reason", "string", ".status.reason", 0),
        _AGE,
        ("Request", "integer", ".spec.target.request", 1),
        ("Digest", "string", ".spec.target.digest", 1),
        ("Message", "string", ".status.message", 1),
    ),
    selectable=(".spec.target.name", ".spec.decision", ".status.state"),
    formats=APPROVAL_FORMATS,
)
KINDS: Final = (DEPLOYMENT, REVISION, APPROVAL)


def object_schema(kind: Kind) -> Schema:
    """Return the schema of a kind's objects, with its rules."""
    schema: Schema = {
        "description": kind.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {
                "type": "object",
                "properties": {"name": {"type": "string", "maxLength": 253}},
            },  # so that rules can point at it
            "spec": structural_schema(kind.spec),
            "status": structural_schema(kind.status),
        },
    }
    for path, keys in kind.map_keys.items():
        at(schema, path).update({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)})
    for path, message in kind.formats.items():
        _state_format(at(schema, path), message)
    for rule in kind.rules():
        _add(at(schema, rule.path), rule)
    return schema


def _state_format(node: Schema, message: str) -> None:
    """Turn a pattern, of which the API server would only repeat the regular expression, into a rule that says what to write."""
    pattern = node.pop("pattern")
    node.setdefault("x-kubernetes-validations", []).append({"rule": f"self.matches({regex(pattern)})", "message": message})


def _add(node: Schema, rule: Rule) -> None:
    for name in rule.states:
        node["required"].remove(name)
        node["properties"][name].pop("pattern", None)
    for name, length in (rule.lengths or {}).items():
        node["properties"][name]["maxLength"] = length
    wire = {"rule": rule.expression, "message": rule.message}
    if rule.message_expression:
        wire["messageExpression"] = rule.message_expression
    if rule.field:
        wire["fieldPath"] = rule.field
    if rule.reason != "FieldValueInvalid":
        wire["reason"] = rule.reason
    node.setdefault("x-kubernetes-validations", []).append(wire)


def definition(kind: Kind) -> dict[str, Any]:
    """Return a kind's CustomResourceDefinition (``apiextensions.k8s.io/v1``)."""
    subresources: dict[str, Any] = {"status": {}}
    if kind.scale:
        subresources["scale"] = dict(kind.scale)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{GROUP}",
            # Helm would otherwise delete every ModelRevision, and with them the history, when a release is uninstalled.
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
                "categories": ["holdfast"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": subresources,
                    "additionalPrinterColumns": [
                        {"name": name, "type": type_, "jsonPath": path, **({"priority": priority} if priority else {})}
                        for name, type_, path, priority in kind.columns
                    ],
                    "selectableFields": [{"jsonPath": path} for path in kind.selectable],
                    "schema": {"openAPIV3Schema": object_schema(kind)},
                }
            ],
        },
    }


class _Dumper(yaml.SafeDumper):
    """Lists indented under their key, as the rest of the repository writes them, and no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists as well."""
        del indentless
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        del data
        return True


def render(kind: Kind) -> str:
    """Return a kind's CustomResourceDefinition as YAML."""
    head = "# Generated by `python -m holdfast.api.crd` from operator/holdfast/api. Do not edit.\n"
    return head + yaml.dump(definition(kind), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=130)


def main(arguments: list[str] | None = None) -> None:
    """Print the definitions, or write them into folders."""
    parser = ArgumentParser(
        prog="python -m holdfast.api.crd",
        description="Print the CustomResourceDefinitions as YAML.",
        epilog="example: python -m holdfast.api.crd --write crds charts/holdfast/files/crds",
    )
    parser.add_argument("--write", nargs="+", type=Path, metavar="FOLDER", help="write one file per kind into each folder")
    folders: list[Path] | None = parser.parse_args(arguments).write
    if folders is None:
        sys.stdout.write("---\n".join(render(kind) for kind in KINDS))
        return
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            (folder / f"{kind.plural}.yaml").write_text(render(kind), encoding="utf-8")


if __name__ == "__main__":
    main()
