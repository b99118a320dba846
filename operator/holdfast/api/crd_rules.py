"""The rules of the three kinds that a schema cannot say, in CEL, with messages that say what to write instead.

The API server evaluates them (``x-kubernetes-validations``), so they hold with the operator down and for every client. Costs
are bounded: a rule touches only lists and strings with a maximum length.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from holdfast.api.engine_arguments import ARGUMENT_PATTERN, REFUSED
from holdfast.api.model import EngineType
from holdfast.api.names import NAME_MAX_LENGTH

RuleReason = Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule at one place of a schema."""

    path: str
    """Where `self` is, as `holdfast.api.crd_schema.walk` writes it; empty for the object itself."""
    expression: str
    message: str
    """What to write instead. Unique within a kind; the reference of errors is keyed by it."""
    message_expression: str | None = None
    """CEL for a message that names the value; `message` stands in when it fails."""
    field: str | None = None
    """The field that the error names, below `path`."""
    reason: RuleReason = "FieldValueInvalid"
    states: tuple[str, ...] = ()
    """Fields directly below `path` whose presence or pattern this rule states, so that the schema need not, in worse words."""
    lengths: Mapping[str, int] | None = None
    """Other maximum lengths for these fields, so that the rule's message is seen and not "Too long"."""


def text(value: str) -> str:
    """Return a CEL string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def regex(pattern: str) -> str:
    """Return a raw CEL string literal of an RE2 pattern.

    Raises:
        ValueError: the pattern has a quote, which a raw literal cannot hold.
    """
    if "'" in pattern:
        raise ValueError(f"no quote in {pattern}")
    return f"r'{pattern}'"


COMMIT: Final = "^[0-9a-f]{40}$"
_IMAGE_FORM: Final = "registry/name@sha256:… without a tag: holdfast pin REPO --image NAME:TAG prints it"


def _commit() -> Rule:
    return Rule(
        path="spec.model.source.huggingFace",
        expression=f"has(self.commit) && self.commit.matches({regex(COMMIT)})",
        message="a full commit hash is needed, never a branch or tag; write 40 hex digits: holdfast pin REPO@REF prints them",
        message_expression=(
            "has(self.commit) ? '\"' + self.commit + '\" is not a full commit hash; write 40 hex digits: "
            "holdfast pin ' + self.repository + '@' + self.commit + ' prints them' : "
            "'commit is missing; write 40 hex digits: holdfast pin ' + self.repository + ' prints them'"
        ),
        field=".commit",
        states=("commit",),
        lengths={"commit": 256},
    )


def _image(pattern: str) -> Rule:
    return Rule(
        path="spec.model.engine",
        expression=(
            f"has(self.image) && self.image.matches({regex(pattern)}) && "
            "(self.image.split('/')[0].contains('.') || self.image.split('/')[0].contains(':') || "
            "self.image.startsWith('localhost/'))"
        ),
        message=f"an image is pinned by its digest; write {_IMAGE_FORM}",
        message_expression=(
            f"!has(self.image) ? 'image is missing; write {_IMAGE_FORM}' : '\"' + self.image + '\" ' + ("
            "!self.image.contains('@') ? 'has no digest' : "
            "!self.image.matches('@sha256:[0-9a-f]{64}$') ? 'has no sha256 digest of 64 hex digits' : "
            "self.image.matches('/[^/@]*:[^/@]*@') ? 'has a tag beside its digest' : "
            f"!self.image.matches({regex(pattern)}) ? 'is no image reference' : 'names no registry') + "
            f"'; write {_IMAGE_FORM}'"
        ),
        field=".image",
        states=("image",),
    )


def _refused_arguments(engine: EngineType) -> Rule:
    """Say in CEL what `holdfast.api.engine_arguments.refusal` says, for one engine."""
    refused = REFUSED[engine]
    reasons = " : ".join(
        f"{_one_of([flag for flag in refused if refused[flag] == instead])} ? {text(instead)}"
        for instead in dict.fromkeys(refused.values())
    )
    names = "self.args.map(a, a.split('=')[0].split('.')[0].replace('--no-', '--', 1))"
    return Rule(
        path="spec.model.engine",
        expression=f"self.type != '{engine.value}' || !has(self.args) || !{names}.exists(name, {_one_of(refused)})",
        message=f"an argument of {engine.value} would choose or loosen the pinned model, or is Holdfast's to set",
        message_expression=f"{names}.filter(name, {_one_of(refused)}).map(name, name + ': ' + ({reasons} : ''))[0]",
        field=".args",
        reason="FieldValueForbidden",
    )


def _one_of(flags: Collection[str]) -> str:
    """Return CEL for: `name` is one of the flags, or the beginning of one, or of one of the families that end in ``*``."""
    plain = ", ".join(text(flag.removesuffix("*")) for flag in flags)
    families = ", ".join(text(flag.removesuffix("*")) for flag in flags if flag.endswith("*"))
    condition = f"[{plain}].exists(flag, flag.startsWith(name))"
    return f"({condition} || [{families}].exists(flag, name.startsWith(flag)))" if families else condition


def deployment_rules(image_pattern: str) -> tuple[Rule, ...]:
    """Return the rules of a ModelDeployment."""
    return (
        Rule(
            path="",
            expression=f"self.metadata.name.size() <= {NAME_MAX_LENGTH}",
            message=f"a name has at most {NAME_MAX_LENGTH} characters, because names of children are made from it",
            field=".metadata.name",
        ),
        Rule(
            path="",
            expression=f"self.metadata.name.matches({regex('^[a-z]([a-z0-9-]*[a-z0-9])?$')})",
            message="a name is also the name of a Service; write lower-case letters, digits and dashes, beginning with a letter",
            field=".metadata.name",
        ),
        Rule(
            path="",
            expression=f"!self.metadata.name.matches({regex('-[0-9]+$')})",
            message="a name that ends in -<number> would be the name of a revision; end it otherwise, such as llama-3b",
            field=".metadata.name",
        ),
        Rule(
            path="",
            expression="!self.metadata.name.startsWith('holdfast-')",
            message="names that begin with holdfast- belong to Holdfast's own objects; begin with another word",
            field=".metadata.name",
        ),
        _commit(),
        Rule(
            path="spec.model.source.huggingFace.include",
            expression="self.isSorted() && self.all(p, self.exists_one(q, q == p))",
            message="patterns are written in ascending order and each once, so that one set of files has one spelling",
        ),
        Rule(
            path="spec.model.source.huggingFace.include[]",
            expression="!self.startsWith('/') && !self.split('/').exists(part, part in ['', '.', '..'])",
            message="a pattern is relative to the repository and has no empty part, . or ..; write such as *.safetensors",
        ),
        _image(image_pattern),
        Rule(
            path="spec.model.engine.args[]",
            expression=f"self.matches({regex(ARGUMENT_PATTERN)})",
            message="not an argument; write --name or --name=value, with dashes and on one line",
        ),
        *(_refused_arguments(engine) for engine in EngineType),
        Rule(
            path="spec.model.engine",
            expression="self.type == 'LlamaCpp' || !has(self.options) || !has(self.options.modelFile)",
            message="only LlamaCpp loads a single file; leave modelFile out and choose files with source.huggingFace.include",
            field=".options.modelFile",
            reason="FieldValueForbidden",
        ),
        Rule(
            path="spec.model.engine.options.modelFile",
            expression="!self.startsWith('/') && !self.split('/').exists(part, part in ['', '.', '..'])",
            message="a file is named by its path in the repository, without an empty part, . or ..",
        ),
        Rule(
            path="spec.serving.scheduling.tolerations[]",
            expression="has(self.key) && self.key != '' || (has(self.operator) && self.operator == 'Exists')",
            message="a toleration without key needs operator Exists",
        ),
        Rule(
            path="spec.serving.scheduling.tolerations[]",
            expression="!has(self.value) || self.value == '' || !has(self.operator) || self.operator == 'Equal'",
            message="a toleration with operator Exists has no value",
        ),
        Rule(
            path="spec.serving.scheduling.tolerations[]",
            expression="!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            message="tolerationSeconds needs effect NoExecute",
        ),
        Rule(
            path="spec.serving.cache",
            expression="self.type != 'PersistentVolumeClaim' || has(self.size)",
            message="a PersistentVolumeClaim needs a size; write room for the files of two revisions, such as 60Gi",
            field=".size",
            reason="FieldValueRequired",
        ),
        Rule(
            path="spec.serving.cache",
            expression="self.type == 'PersistentVolumeClaim' || (!has(self.storageClassName) && !has(self.accessMode))",
            message="storageClassName and accessMode are for type PersistentVolumeClaim only",
            reason="FieldValueForbidden",
        ),
        Rule(
            path="spec.rollout.steps",
            expression="self.map(s, s.weight).isSorted() && self.all(s, self.exists_one(t, t.weight == s.weight))",
            message="weights rise from step to step; write such as 5, 25, 50",
        ),
    )


_UNDECIDED: Final = "!has(oldSelf.status) || !has(oldSelf.status.state) || oldSelf.status.state == 'Pending'"

APPROVAL_RULES: Final = (
    Rule(  # on the object and not on status: a rule on status would not run when the whole status is removed
        path="",
        expression=f"{_UNDECIDED} || (has(self.status) && self.status == oldSelf.status)",
        message="a settled ModelApproval stays as it is; create a new one",
        field=".status",
        reason="FieldValueForbidden",
    ),
    Rule(
        path="spec",
        expression="self == oldSelf",
        message="a ModelApproval is never changed; create a new one: holdfast approve, reject, abort, fallback or resume",
        reason="FieldValueForbidden",
    ),
    Rule(
        path="spec",
        expression="(self.decision == 'Approve') == has(self.gate)",
        message="an Approve names its gate, Start or Promote; other decisions have no gate",
        field=".gate",
    ),
    Rule(
        path="spec",
        expression="self.decision == 'Fallback' || !has(self.fallbackTo)",
        message="only a Fallback has fallbackTo",
        field=".fallbackTo",
        reason="FieldValueForbidden",
    ),
    Rule(
        path="spec",
        expression="self.decision == 'Fallback' || (has(self.target.digest) && has(self.target.request))",
        message="a decision names the digest and the number of the request it answers: holdfast status prints both",
        field=".target",
        reason="FieldValueRequired",
    ),
    Rule(
        path="spec.fallbackTo",
        expression="(self.type == 'Revision') == has(self.revision)",
        message="type Revision names a revision, and no other type does",
        field=".revision",
    ),
    Rule(
        path="spec.fallbackTo",
        expression="(self.type == 'External') == has(self.external)",
        message="type External names an entry of spec.fallback.external, and no other type does",
        field=".external",
    ),
)

REVISION_RULES: Final = (
    Rule(
        path="",
        expression=(
            "self.metadata.name.startsWith(self.spec.deployment + '-') && "
            f"self.metadata.name.matches({regex('-[1-9][0-9]{0,8}$')}) && "
            "int(self.metadata.name.substring(self.spec.deployment.size() + 1)) == self.spec.number"
        ),
        message="a ModelRevision is named after its deployment and its number",
        field=".metadata.name",
    ),
    Rule(
        path="",
        expression=(
            "!has(oldSelf.status) || !has(oldSelf.status.decisions) || (has(self.status) && has(self.status.decisions) && "
            "self.status.decisions.size() >= oldSelf.status.decisions.size() && "
            "self.status.decisions.slice(0, oldSelf.status.decisions.size()) == oldSelf.status.decisions)"
        ),
        message="decisions are only ever added, at the end",
        field=".status.decisions",
        reason="FieldValueForbidden",
    ),
    Rule(
        path="",
        expression=(
            "!has(oldSelf.status) || !has(oldSelf.status.promotedAt) || (has(self.status) && has(self.status.promotedAt) && "
            "self.status.promotedAt == oldSelf.status.promotedAt)"
        ),
        message="promotedAt is set once",
        field=".status.promotedAt",
        reason="FieldValueForbidden",
    ),
    Rule(
        path="spec",
        expression="self == oldSelf",
        message="a ModelRevision is never changed; a change of spec.model makes a new one",
        reason="FieldValueForbidden",
    ),
)

DEPLOYMENT_FORMATS: Final = {
    "spec.model.source.huggingFace.repository": "not a repository; write OWNER/NAME, such as Qwen/Qwen2.5-7B-Instruct",
    "spec.model.source.huggingFace.manifestDigest": "not a digest; write what holdfast pin prints, or leave it out",
    "spec.model.engine.options.quantization": "not a method; write the engine's own name in lower case, such as awq",
    "spec.model.servedName": "not a model name; write letters, digits and . _ / -, such as support-chat",
    "spec.serving.resources.requests{}": "not a quantity; write such as 4, 500m or 32Gi",
    "spec.serving.resources.limits{}": "not a quantity; write such as 4, 500m or 32Gi",
    "spec.serving.cache.size": "not a size; write such as 60Gi",
    "spec.rollout.stickiness.header": "not a header; write it in lower case, such as x-user-id",
    "spec.fallback.external[].name": "not a name; write lower-case letters, digits and dashes, such as general-api",
    "spec.fallback.external[].url": "not a base URL; write such as https://api.example.com/v1, with no user or query",
    "spec.fallback.external[].model": "not a model name; write the name that the endpoint expects",
}
"""For fields of a ModelDeployment with a pattern: what to say when it does not match."""

APPROVAL_FORMATS: Final = {
    "spec.target.digest": "not the digest of a request; write v1: and 64 hex digits: holdfast status prints it",
    "spec.target.base": "not the digest of a revision; write v1: and 64 hex digits: holdfast status prints it",
}
"""The same for a ModelApproval."""
