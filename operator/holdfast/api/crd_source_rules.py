"""The rules of everything that is loaded: sources, tokenizer, code, adapters, and the form in which bytes are pinned."""

from typing import Final

from holdfast.api.crd_rule import BAD_PATH, Rule, regex, text
from holdfast.api.names import weights_claim_name

COMMIT: Final = "^[0-9a-f]{40}$"
SHA256: Final = "^sha256:[0-9a-f]{64}$"
SOURCES: Final = (
    "spec.model.source",
    "spec.model.tokenizer",
    "spec.model.adapters[].source",
    "spec.model.draftModel.source",
)
"""Where a ModelDeployment names bytes of any kind."""


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


def pinned(path: str, name: str, pattern: str, *, what: str, article: str, form: str) -> Rule:
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
            expression=f"!self.matches({regex(BAD_PATH)})",
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
            expression=f"!self.matches({regex(BAD_PATH)})",
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
        pinned(f"{path}.oci", "reference", pattern, what="artifact", article="an", form="registry/name@sha256:… without a tag"),
        *_files(f"{path}.oci"),
        Rule(
            path=f"{path}.volume",
            expression=f"has(self.manifestDigest) && self.manifestDigest.matches({regex(SHA256)})",
            message="a volume is pinned by its list of files; write manifestDigest: sha256:… of it",
            field=".manifestDigest",
            states=("manifestDigest",),
        ),
        Rule(
            path=f"{path}.volume.claimName",
            expression=f"!self.startsWith({text(weights_claim_name(''))})",
            message="the claims holdfast-weights-NAME are caches, whose files go with their revisions; name a claim of your own",
            reason="FieldValueForbidden",
        ),
        Rule(
            path=f"{path}.volume.path",
            expression=f"!self.matches({regex(BAD_PATH)})",
            message="a folder of a volume is named by its relative path, without an empty part, . or ..",
        ),
        *_files(f"{path}.volume"),
    )


def part_rules(pattern: str) -> tuple[Rule, ...]:
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
