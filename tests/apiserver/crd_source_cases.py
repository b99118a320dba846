"""Cases of the rules about sources of bytes, at each place where a ModelDeployment names one."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from apiserver.crd_cases import Case, Changes, one
from apiserver.manifests import COMMIT, IMAGE, SHA256

Source = dict[str, Any]
Place = Callable[[Source], Changes]

REPOSITORY: Final = "Qwen/Qwen2.5-7B-Instruct"
HUB: Final[Source] = {"repository": REPOSITORY, "commit": COMMIT}
OCI: Final[Source] = {"reference": IMAGE}
VOLUME: Final[Source] = {"claimName": "models", "manifestDigest": SHA256}
HEX: Final = "5" * 64


def _at_model(source: Source) -> Changes:
    return {"spec.model.source": source}


def _at_tokenizer(source: Source) -> Changes:
    return {"spec.model.tokenizer": source}


def _at_adapter(source: Source) -> Changes:
    return {"spec.model.adapters": [{"name": "tone", "source": source}]}


def _at_draft(source: Source) -> Changes:
    return {"spec.model.draftModel": {"tokens": 3, "source": source}}


PLACES: Final[tuple[Place, ...]] = (_at_model, _at_tokenizer, _at_adapter, _at_draft)


def _hub_places() -> tuple[Place, ...]:
    def inside(place: Place) -> Place:
        return lambda hub: place({"huggingFace": hub})

    def code(hub: Source) -> Changes:
        return {"spec.model.remoteCode": "Pinned", "spec.model.code": [hub]}

    return (*(inside(place) for place in PLACES), code)


def _kind(place: Place, kind: str) -> Place:
    return lambda source: place({kind: source})


def files(*paths: str) -> dict[str, list[dict[str, object]]]:
    return {"files": [{"path": path, "size": 1, "sha256": HEX} for path in paths]}


def _without(source: Source, field: str) -> Source:
    return {key: value for key, value in source.items() if key != field}


def _list(place: Place, valid: Source) -> Iterator[Case]:
    yield Case(
        kind="ModelDeployment",
        message="files are listed in ascending order of path and each once: holdfast pin --files writes them",
        accepts=(place(valid | files("a.json", "b/c.json", "b0")),),
        refuses=(
            (place(valid | files("b", "a")), "in ascending order of path"),
            (place(valid | files("a", "a")), "and each once"),
        ),
    )
    yield Case(
        kind="ModelDeployment",
        message="a file is listed by its relative path, without an empty part, . or ..",
        accepts=(place(valid | files("..a/.b/c...d")),),
        refuses=tuple(
            (place(valid | files(path)), "a file is listed by its relative path")
            for path in ("/etc/passwd", "../a", "a/../b", "a/./b", "a//b", "a/", "..", ".")
        ),
    )
    yield Case(
        kind="ModelDeployment",
        message="not a sha256; write 64 lower-case hex digits: holdfast pin --files prints them",
        accepts=(place(valid | files("a")),),
        refuses=tuple(
            (place(valid | {"files": [{"path": "a", "size": 1, "sha256": value}]}), "not a sha256")
            for value in (HEX[1:], HEX[1:] + "A")
        ),
    )


def _digest(place: Place, valid: Source) -> Case:
    return one(
        "ModelDeployment",
        "not a digest; write what holdfast pin prints, or leave it out",
        place(valid | {"manifestDigest": SHA256}),
        place(valid | {"manifestDigest": "sha256:abc"}),
    )


def _hub(place: Place) -> Iterator[Case]:
    yield Case(
        kind="ModelDeployment",
        message="a full commit hash is needed, never a branch or tag; write 40 hex digits: holdfast pin REPO@REF prints them",
        accepts=(place(HUB),),
        refuses=(
            (
                place(HUB | {"commit": "main"}),
                f'"main" is not a full commit hash; write 40 hex digits: holdfast pin {REPOSITORY}@main prints them',
            ),
            (place(HUB | {"commit": "v1.0"}), '"v1.0" is not a full commit hash'),
            (place(HUB | {"commit": COMMIT[:7]}), "is not a full commit hash"),
            (place(HUB | {"commit": COMMIT.upper()}), "is not a full commit hash"),
            (place(HUB | {"commit": f"refs/heads/{'x' * 60}"}), "is not a full commit hash"),
            (place(_without(HUB, "commit")), f"commit is missing; write 40 hex digits: holdfast pin {REPOSITORY} prints them"),
        ),
    )
    yield one(
        "ModelDeployment",
        "not a repository; write OWNER/NAME, such as Qwen/Qwen2.5-7B-Instruct",
        place(HUB | {"repository": "Qwen/Qwen2.5-0.5B"}),
        place(HUB | {"repository": "https://huggingface.co/Qwen/Qwen2.5-0.5B"}),
    )
    yield _digest(place, HUB)
    yield Case(
        kind="ModelDeployment",
        message="patterns are written in ascending order and each once, so that one set of files has one spelling",
        accepts=(place(HUB | {"include": ["*.json", "*.safetensors", "tokenizer*"]}),),
        refuses=(
            (place(HUB | {"include": ["*.safetensors", "*.json"]}), "patterns are written in ascending order"),
            (place(HUB | {"include": ["*.json", "*.json"]}), "and each once"),
        ),
    )
    yield Case(
        kind="ModelDeployment",
        message="a pattern is relative to the repository and has no empty part, . or ..; write such as *.safetensors",
        accepts=(place(HUB | {"include": ["onnx/*.json"]}), place(HUB | {"include": [".gitattributes"]})),
        refuses=tuple(
            (place(HUB | {"include": [pattern]}), "a pattern is relative to the repository")
            for pattern in ("/etc/*", "../*", "a//b", "./a")
        ),
    )
    yield from _list(place, HUB)


def _oci(place: Place) -> Iterator[Case]:
    form = "write registry/name@sha256:… without a tag"
    yield Case(
        kind="ModelDeployment",
        message=f"an artifact is pinned by its digest; {form}",
        accepts=(place(OCI), place({"reference": f"127.0.0.1:5000/models/chat@{SHA256}"})),
        refuses=(
            (place({}), f"reference is missing; {form}"),
            (place({"reference": "registry.example/models/chat:v1"}), "has no digest"),
            (place({"reference": f"registry.example/models/chat:v1@{SHA256}"}), "has a tag beside its digest"),
            (place({"reference": "registry.example/models/chat@sha256:12"}), "has no sha256 digest of 64 hex digits"),
            (place({"reference": f"models/chat@{SHA256}"}), "names no registry"),
            (place({"reference": f"registry.example/Chat@{SHA256}"}), "is no artifact reference"),
        ),
    )
    yield _digest(place, OCI)
    yield from _list(place, OCI)


def _volume(place: Place) -> Iterator[Case]:
    message = "a volume is pinned by its list of files; write manifestDigest: sha256:… of it"
    yield Case(
        kind="ModelDeployment",
        message=message,
        accepts=(place(VOLUME),),
        refuses=((place(_without(VOLUME, "manifestDigest")), message), (place(VOLUME | {"manifestDigest": "latest"}), message)),
    )
    yield one(
        "ModelDeployment",
        "not the name of a PersistentVolumeClaim; write such as models",
        place(VOLUME | {"claimName": "team.models"}),
        place(VOLUME | {"claimName": "Models"}),
    )
    yield one(
        "ModelDeployment",
        "the claims holdfast-weights-NAME are caches, whose files go with their revisions; name a claim of your own",
        place(VOLUME | {"claimName": "weights-of-ours"}),
        place(VOLUME | {"claimName": "holdfast-weights-chat"}),
    )
    yield Case(
        kind="ModelDeployment",
        message="a folder of a volume is named by its relative path, without an empty part, . or ..",
        accepts=(place(VOLUME | {"path": "llama/3.1"}),),
        refuses=tuple(
            (place(VOLUME | {"path": path}), "a folder of a volume is named by its relative path")
            for path in ("/llama", "../llama", "llama//3", "llama/")
        ),
    )
    yield from _list(place, VOLUME)


def _kinds(place: Place) -> Case:
    message = "a source is exactly one of huggingFace, oci and volume"
    return Case(
        kind="ModelDeployment",
        message=message,
        accepts=(place({"huggingFace": HUB}), place({"oci": OCI}), place({"volume": VOLUME})),
        refuses=((place({}), message), (place({"huggingFace": HUB, "volume": VOLUME}), message)),
    )


def _adapters(*names: str) -> Changes:
    return {"spec.model.adapters": [{"name": name, "source": {"huggingFace": HUB}} for name in names]}


def _code(*repositories: str, **fields: str) -> Changes:
    code = [{"repository": repository, "commit": COMMIT} for repository in repositories]
    return {"spec.model.code": code} | {f"spec.model.{name}": value for name, value in fields.items()}


def _variables(*names: str) -> Changes:
    return {"spec.model.engine.env": [{"name": name, "value": "1"} for name in names]}


_PINNED_ONLY = "repositories of code are for remoteCode Pinned only; write remoteCode: Pinned, or leave code out"
_CODE_ORDER = "repositories of code are written in ascending order and each once"
_ADAPTER_ORDER = "adapters are written in ascending order of name and each name once"
_ADAPTER_NAME = "an adapter has another name than the model, because clients choose between them by name"
_VARIABLE_ORDER = "variables are written in ascending order of name and each once"
_VARIABLE_NAME = "not a variable; write letters, digits and _, beginning with no digit"

SOURCE_CASES: Final[tuple[Case, ...]] = (
    *(_kinds(place) for place in PLACES),
    *(case for place in _hub_places() for case in _hub(place)),
    *(case for place in PLACES for case in _oci(_kind(place, "oci"))),
    *(case for place in PLACES for case in _volume(_kind(place, "volume"))),
    Case(
        kind="ModelDeployment",
        message=_PINNED_ONLY,
        accepts=(_code("a/a", remoteCode="Pinned"), {"spec.model.remoteCode": "Pinned"}, {"spec.model.remoteCode": "Forbidden"}),
        refuses=((_code("a/a"), _PINNED_ONLY), (_code("a/a", remoteCode="Forbidden"), _PINNED_ONLY)),
    ),
    Case(
        kind="ModelDeployment",
        message=_CODE_ORDER,
        accepts=(_code("a/a", "a/b", remoteCode="Pinned"),),
        refuses=tuple((_code(*names, remoteCode="Pinned"), _CODE_ORDER) for names in (("a/b", "a/a"), ("a/a", "a/a"))),
    ),
    Case(
        kind="ModelDeployment",
        message=_ADAPTER_ORDER,
        accepts=(_adapters("legal", "tone"),),
        refuses=tuple((_adapters(*names), _ADAPTER_ORDER) for names in (("tone", "legal"), ("tone", "tone"))),
    ),
    one(
        "ModelDeployment",
        _ADAPTER_NAME,
        {**_adapters("tone"), "spec.model.servedName": "chat"},
        {**_adapters("tone"), "spec.model.servedName": "tone"},
    ),
    one(
        "ModelDeployment",
        "not a name; write lower-case letters, digits and dashes, such as legal",
        _adapters("legal-2"),
        _adapters("Legal"),
    ),
    Case(
        kind="ModelDeployment",
        message=_VARIABLE_ORDER,
        accepts=(_variables("A_ONE", "B_TWO"),),
        refuses=tuple((_variables(*names), _VARIABLE_ORDER) for names in (("B_TWO", "A_ONE"), ("A_ONE", "A_ONE"))),
    ),
    Case(
        kind="ModelDeployment",
        message=_VARIABLE_NAME,
        accepts=(_variables("_A1"),),
        refuses=((_variables("1A"), _VARIABLE_NAME), (_variables("A-B"), _VARIABLE_NAME), (_variables("A=B"), _VARIABLE_NAME)),
    ),
)
