"""The rules of the three kinds that a schema cannot say, in CEL, with messages that say what to write instead.

The API server evaluates them (``x-kubernetes-validations``), so they hold with the operator down and for every client. Costs
are bounded: a rule touches only lists and strings with a maximum length.
"""

from typing import Final

from holdfast.api.crd_engine_rules import refused_arguments, refused_environment, refused_words
from holdfast.api.crd_rule import BAD_PATH, Rule, regex
from holdfast.api.crd_source_rules import part_rules, pinned
from holdfast.api.engine_arguments import ARGUMENT_PATTERN, WORDS
from holdfast.api.model import EngineType
from holdfast.api.names import NAME_MAX_LENGTH

_IMAGE_FORM: Final = "registry/name@sha256:… without a tag: holdfast pin REPO --image NAME:TAG prints it"


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
        *part_rules(image_pattern),
        pinned("spec.model.engine", "image", image_pattern, what="image", article="an", form=_IMAGE_FORM),
        Rule(
            path="spec.model.engine.args[]",
            expression=f"self.matches({regex(ARGUMENT_PATTERN)})",
            message="not an argument; write --name or --name=value, with dashes and on one line",
        ),
        *(refused_arguments(engine) for engine in EngineType),
        *(refused_words(engine) for engine, words in WORDS.items() if words),
        *(refused_environment(engine) for engine in EngineType),
        Rule(
            path="spec.model.engine",
            expression="self.type == 'LlamaCpp' || !has(self.options) || !has(self.options.modelFile)",
            message="only LlamaCpp loads a single file; leave modelFile out and choose files with source.huggingFace.include",
            field=".options.modelFile",
            reason="FieldValueForbidden",
        ),
        Rule(
            path="spec.model.engine.options.modelFile",
            expression=f"!self.matches({regex(BAD_PATH)})",
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
            expression="self.type == 'PersistentVolumeClaim' || (!has(self.storageClassName) && !has(self.accessMode) && !has(self.unused))",
            message="storageClassName, accessMode and unused are for type PersistentVolumeClaim only",
            reason="FieldValueForbidden",
        ),
        *(_cache_of_one_kind(cache, kind) for cache, kind in (("Image", "oci"), ("Volume", "volume"))),
        Rule(  # what has no list in the manifest is a ModelPack, whose layers a node's runtime leaves out of the volume
            path="spec",
            expression=(
                "!has(self.serving) || !has(self.serving.cache) || self.serving.cache.type != 'Image' ||"
                " !has(self.model.source.oci) || has(self.model.source.oci.files)"
            ),
            message=(
                "cache type Image is for an image, whose list of files comes with the manifest (source.oci.files); nodes mount a"
                " ModelPack or ModelKit as an empty folder: write another type, such as PersistentVolumeClaim"
            ),
            field=".serving.cache.type",
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
            "self.status.promotedAt >= oldSelf.status.promotedAt)"
        ),
        message="promotedAt only moves forward",
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
