"""The rules of the three kinds that a schema cannot say, in CEL, with messages that say what to write instead.

The API server evaluates them (``x-kubernetes-validations``), so they hold with the operator down and for every client. Costs
are bounded: a rule touches only lists and strings with a maximum length.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from holdfast.api import engine_environment
from holdfast.api.engine_arguments import ARGUMENT_PATTERN, FREE, REFUSED
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
SHA256: Final = "^sha256:[0-9a-f]{64}$"
SOURCES: Final = (
    "spec.model.source",
    "spec.model.tokenizer",
    "spec.model.adapters[].source",
    "spec.model.draftModel.source",
)
"""Where a ModelDeployment names bytes of any kind."""
_BAD_PATH: Final = r"(^|/)\.{0,2}(/|$)"
"""An empty part, ``.`` or ``..``; a slash at either end makes an empty part."""
_IMAGE_FORM: Final = "registry/name@sha256:… without a tag: holdfast pin REPO --image NAME:TAG prints it"


def _commit(path: str) -> Rule:
    return Rule(
        path=path,
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


def _pinned(path: str, name: str, pattern: str, *, what: str, article: str, form: str) -> Rule:
    """Return the rule that the field `name` is an image or an artifact by its digest."""
    value = f"self.{name}"
    return Rule(
        path=path,
        expression=(
            f"has({value}) && {value}.matches({regex(pattern)}) && "
            f"({value}.split('/')[0].contains('.') || {value}.split('/')[0].contains(':') || "
            f"{value}.startsWith('localhost/'))"
        ),
        message=f"{article} {what} is pinned by its digest; write {form}",
        message_expression=(
            f"!has({value}) ? '{name} is missing; write {form}' : '\"' + {value} + '\" ' + ("
            f"!{value}.contains('@') ? 'has no digest' : "
            f"!{value}.matches('@sha256:[0-9a-f]{{64}}$') ? 'has no sha256 digest of 64 hex digits' : "
            f"{value}.matches('/[^/@]*:[^/@]*@') ? 'has a tag beside its digest' : "
            f"!{value}.matches({regex(pattern)}) ? 'is no {what} reference' : 'names no registry') + "
            f"'; write {form}'"
        ),
        field=f".{name}",
        states=(name,),
    )


def _files(path: str) -> tuple[Rule, ...]:
    """Return the rules of an inline list of files, one pass each: it may be long."""
    return (
        Rule(
            path=f"{path}.files",
            expression="self.all(i, file, i == 0 || self[i - 1].path < file.path)",
            message="files are listed in ascending order of path and each once: holdfast pin --files writes them",
        ),
        Rule(
            path=f"{path}.files[].path",
            expression=f"!self.matches({regex(_BAD_PATH)})",
            message="a file is listed by its relative path, without an empty part, . or ..",
        ),
    )


def _hugging_face(path: str) -> tuple[Rule, ...]:
    return (
        _commit(path),
        Rule(
            path=f"{path}.include",
            expression="self.isSorted() && self.all(p, self.exists_one(q, q == p))",
            message="patterns are written in ascending order and each once, so that one set of files has one spelling",
        ),
        Rule(
            path=f"{path}.include[]",
            expression=f"!self.matches({regex(_BAD_PATH)})",
            message="a pattern is relative to the repository and has no empty part, . or ..; write such as *.safetensors",
        ),
        *_files(path),
    )


def _source(path: str, pattern: str) -> tuple[Rule, ...]:
    return (
        Rule(
            path=path,
            expression="[has(self.huggingFace), has(self.oci), has(self.volume)].exists_one(kind, kind)",
            message="a source is exactly one of huggingFace, oci and volume",
        ),
        *_hugging_face(f"{path}.huggingFace"),
        _pinned(f"{path}.oci", "reference", pattern, what="artifact", article="an", form="registry/name@sha256:… without a tag"),
        *_files(f"{path}.oci"),
        Rule(
            path=f"{path}.volume",
            expression=f"has(self.manifestDigest) && self.manifestDigest.matches({regex(SHA256)})",
            message="a volume is pinned by its list of files; write manifestDigest: sha256:… of it",
            field=".manifestDigest",
            states=("manifestDigest",),
        ),
        Rule(
            path=f"{path}.volume.path",
            expression=f"!self.matches({regex(_BAD_PATH)})",
            message="a folder of a volume is named by its relative path, without an empty part, . or ..",
        ),
        *_files(f"{path}.volume"),
    )


def _parts(pattern: str) -> tuple[Rule, ...]:
    """Return the rules of everything that is loaded beside the engine."""
    return (
        *(rule for place in SOURCES for rule in _source(place, pattern)),
        *_hugging_face("spec.model.code[]"),
        Rule(
            path="spec.model",
            expression="!has(self.code) || (has(self.remoteCode) && self.remoteCode == 'Pinned')",
            message="repositories of code are for remoteCode Pinned only; write remoteCode: Pinned, or leave code out",
            field=".code",
            reason="FieldValueForbidden",
        ),
        Rule(
            path="spec.model.code",
            expression="self.all(i, item, i == 0 || self[i - 1].repository < item.repository)",
            message="repositories of code are written in ascending order and each once",
        ),
        Rule(
            path="spec.model.adapters",
            expression="self.all(i, item, i == 0 || self[i - 1].name < item.name)",
            message="adapters are written in ascending order of name and each name once",
        ),
        Rule(
            path="spec.model",
            expression="!has(self.adapters) || !has(self.servedName) || !self.adapters.exists(a, a.name == self.servedName)",
            message="an adapter has another name than the model, because clients choose between them by name",
            field=".adapters",
        ),
        Rule(
            path="spec.model.engine.env",
            expression="self.all(i, item, i == 0 || self[i - 1].name < item.name)",
            message="variables are written in ascending order of name and each once",
        ),
    )


def _refused_arguments(engine: EngineType) -> Rule:
    """Say in CEL what `holdfast.api.engine_arguments.refusal` says, for one engine."""
    refused = REFUSED[engine]
    reasons = " : ".join(
        f"{_one_of([flag for flag in refused if refused[flag] == instead])} ? {text(instead)}"
        for instead in dict.fromkeys(refused.values())
    )
    free = ", ".join(text(flag) for flag in FREE[engine])
    whole = "self.args.map(a, a.split('=')[0].split('.')[0])" + (f".filter(name, !(name in [{free}]))" if free else "")
    names = f"{whole}.map(name, name.replace('--no-', '--', 1))"
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


def _cache_of_one_kind(cache: str, kind: str) -> Rule:
    """Return the rule that a cache which fetches nothing has sources that need no fetching."""
    return Rule(
        path="spec",
        expression=(
            f"!has(self.serving) || !has(self.serving.cache) || self.serving.cache.type != '{cache}' || has(self.model.source.{kind})"
        ),
        message=f"cache type {cache} is for a model whose source is of kind {kind}; write another type, such as PersistentVolumeClaim",
        field=".serving.cache.type",
    )


def _refused_environment(engine: EngineType) -> Rule:
    """Say in CEL what `holdfast.api.engine_environment.refusal` says, for one engine."""
    reasons = " : ".join(
        f"name.matches({_names(names)}) ? {text(instead)}" for instead, names in engine_environment.by_reason(engine).items()
    )
    everything = _names(engine_environment.REFUSED[engine])
    found = f"self.env.filter(e, e.name.matches({everything}))"
    return Rule(
        path="spec.model.engine",
        expression=f"self.type != '{engine.value}' || !has(self.env) || !self.env.exists(e, e.name.matches({everything}))",
        message=f"a variable of {engine.value} would choose or loosen the pinned model, or is Holdfast's to set",
        message_expression=f"{found}.map(e, e.name).map(name, name + ': ' + ({reasons} : ''))[0]",
        field=".env",
        reason="FieldValueForbidden",
    )


def _names(names: Collection[str]) -> str:
    return regex(engine_environment.pattern(names))


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
        *_parts(image_pattern),
        _pinned("spec.model.engine", "image", image_pattern, what="image", article="an", form=_IMAGE_FORM),
        Rule(
            path="spec.model.engine.args[]",
            expression=f"self.matches({regex(ARGUMENT_PATTERN)})",
            message="not an argument; write --name or --name=value, with dashes and on one line",
        ),
        *(_refused_arguments(engine) for engine in EngineType),
        *(_refused_environment(engine) for engine in EngineType),
        Rule(
            path="spec.model.engine",
            expression="self.type == 'LlamaCpp' || !has(self.options) || !has(self.options.modelFile)",
            message="only LlamaCpp loads a single file; leave modelFile out and choose files with source.huggingFace.include",
            field=".options.modelFile",
            reason="FieldValueForbidden",
        ),
        Rule(
            path="spec.model.engine.options.modelFile",
            expression=f"!self.matches({regex(_BAD_PATH)})",
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
        *(_cache_of_one_kind(cache, kind) for cache, kind in (("Image", "oci"), ("Volume", "volume"))),
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
    **{
        f"{place}.repository": "not a repository; write OWNER/NAME, such as Qwen/Qwen2.5-7B-Instruct"
        for place in (*(f"{source}.huggingFace" for source in SOURCES), "spec.model.code[]")
    },
    **{
        f"{place}.manifestDigest": "not a digest; write what holdfast pin prints, or leave it out"
        for place in (*(f"{source}.{kind}" for source in SOURCES for kind in ("huggingFace", "oci")), "spec.model.code[]")
    },
    **{f"{source}.volume.claimName": "not the name of a PersistentVolumeClaim; write such as models" for source in SOURCES},
    **{
        f"{place}.files[].sha256": "not a sha256; write 64 lower-case hex digits: holdfast pin --files prints them"
        for place in (
            *(f"{source}.{kind}" for source in SOURCES for kind in ("huggingFace", "oci", "volume")),
            "spec.model.code[]",
        )
    },
    "spec.model.adapters[].name": "not a name; write lower-case letters, digits and dashes, such as legal",
    "spec.model.engine.env[].name": "not a variable; write letters, digits and _, beginning with no digit",
    "spec.model.engine.options.quantization": "not a method; write the engine's own name in lower case, such as awq",
    "spec.model.engine.options.kvCacheDataType": "not a type; write the engine's own name in lower case, such as fp8_e4m3",
    "spec.model.servedName": "not a model name; write letters, digits and . _ / -, such as support-chat",
    "spec.serving.resources.requests{}": "not a quantity; write such as 4, 500m or 32Gi",
    "spec.serving.resources.limits{}": "not a quantity; write such as 4, 500m or 32Gi",
    "spec.serving.mirror": "not a base URL; write such as https://hub.example.com, with no user or query",
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
