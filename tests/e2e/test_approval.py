"""Every field of the model is guarded: a change of any one waits for the owner, and not one request reaches it before."""

import copy
import typing
from collections.abc import Iterator

from pydantic import BaseModel

from e2e.story import NAME, ROLLOUT, declare, no_failures, serve_first
from holdfast.api.manifest import manifest_digest
from holdfast.api.model import File, Model
from stage.team import Team, Wire
from stage.wait import until

LISTED = File(path="tiny.gguf", size=848, sha256="5" * 64)
FILES = {"files": [LISTED.wire()], "manifestDigest": manifest_digest([LISTED])}


def sources(commit: str, image: str) -> list[Wire]:
    """Return a source of each kind, with every field. What lists its files needs nobody to be asked."""
    return [
        {"huggingFace": {"repository": "holdfast/tiny-chat", "commit": commit, "include": ["*.json"], **FILES}},
        {"oci": {"reference": image, **FILES}},
        {"volume": {"claimName": "models", "path": "tiny", **FILES}},
    ]


def changes(second_commit: str, other_image: str) -> list[tuple[str, object]]:
    """Return other values for the fields of ``spec.model``, by their paths."""
    kinds = sources(second_commit, other_image)
    hub = kinds[0]["huggingFace"]
    return [
        ("source.huggingFace.repository", "holdfast/tiny-chat"),
        ("source.huggingFace.commit", second_commit),
        ("source.huggingFace.manifestDigest", "sha256:" + "5" * 64),
        ("source.huggingFace.include", ["*.gguf", "README.md"]),
        *(("source", kind) for kind in kinds),
        *(("tokenizer", kind) for kind in kinds),
        *(("draftModel", {"source": kind, "tokens": 4}) for kind in kinds),
        ("adapters", [{"name": "tone", "source": kinds[0]}]),
        ("remoteCode", "Pinned"),
        ("code", [hub]),
        ("engine.type", "TGI"),
        ("engine.image", other_image),
        ("engine.options.contextLength", 1024),
        ("engine.options.dataType", "bfloat16"),
        ("engine.options.quantization", "awq"),
        ("engine.options.kvCacheDataType", "q8_0"),
        ("engine.options.seed", 1),
        ("engine.options.tensorParallelism", 2),
        ("engine.options.pipelineParallelism", 2),
        ("engine.options.modelFile", "other.gguf"),
        ("engine.args", ["--threads=2"]),
        ("engine.env", [{"name": "OMP_NUM_THREADS", "value": "2"}]),
        ("chatTemplate.text", "{% for m in messages %}{{ m['content'] }}{% endfor %}"),
        # What the clock is allowed to changes an answer only where a template asks for it.
        ("chatTemplate", {"text": "{{ strftime_now('%d') }}{{ messages[0]['content'] }}", "clock": "Allowed"}),
        ("generation.temperature", 0.5),
        ("generation.topP", 0.5),
        ("generation.topK", 5),
        ("generation.minP", 0.5),
        ("generation.repetitionPenalty", 1.5),
        ("generation.presencePenalty", 0.5),
        ("generation.frequencyPenalty", 0.5),
        ("servedName", "another-name"),
    ]


NEEDS = {"code": {"remoteCode": "Pinned"}}
"""What a field may not be without."""


def leaves(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Return the paths of all fields of a model that hold a value of their own."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        parts = (field.annotation, *typing.get_args(field.annotation))
        inner = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
        found |= leaves(inner[0], f"{path}.") if inner else {path}
    return found


def written(path: str, value: object) -> Iterator[str]:
    """Return the paths of the fields that a change writes."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from written(f"{path}.{name}", inner)
    else:
        yield path


def changed(model: Wire, path: str, value: object) -> Wire:
    """Return a copy of a model with one field changed."""
    copied = copy.deepcopy(model) | copy.deepcopy(NEEDS.get(path, {}))
    place = copied
    *parents, last = path.split(".")
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return copied


def stopped(found: Wire) -> bool:
    """Whether what is declared now was looked at, and waits for the owner or for a correction."""
    status: Wire = found.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", [])}
    current = status.get("observedGeneration") == found["metadata"]["generation"]
    waits = conditions.get("Approved", {}).get("reason") == "AwaitingOwner" and status.get("phase") == "AwaitingApproval"
    return current and (waits or conditions.get("Stalled", {}).get("status") == "True")


def test_no_field_changes_what_users_get_before_the_owner_agrees(team: Team, commits: tuple[str, str], engine: str) -> None:
    table = changes(commits[1], engine[:-64] + "5" * 64)
    covered = {field for path, value in table for field in written(path, value)}
    assert covered == leaves(Model), "each field of spec.model has a change in this test"
    base = team.model(commit=commits[0], image=engine)
    serve_first(team, commits[0], engine)
    serving = team.status(NAME)["stable"]["digest"]
    with team.traffic(NAME) as traffic:
        for path, value in table:
            outcome = team.apply(team.manifest(NAME, changed(base, path, value), rollout=ROLLOUT))
            assert outcome.code == 0, f"{path}: {outcome.output}"
            until(lambda: stopped(team.get(NAME)), what=f"{path} to be stopped")
            assert team.status(NAME)["desired"]["digest"] != serving or team.condition(NAME, "Stalled"), path
            traffic.after_now(10)
            assert {p["metadata"]["labels"]["holdfast.dev/revision"] for p in team.pods(NAME)} == {"1"}, path
        declare(team, commits[0], engine)
        status = team.wait_phase(NAME, "Stable")
        assert status["stable"]["digest"] == serving
    no_failures(traffic)
    assert set(traffic.counts().by_revision) == {"1"}, "no answer in the whole time came from anything else"
