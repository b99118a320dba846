"""Every field of the model is guarded: a change of any one waits for the owner, and not one request reaches it before."""

import copy
import typing
from typing import Any

from pydantic import BaseModel

from e2e.story import NAME, ROLLOUT, declare, no_failures, serve_first
from holdfast.api.model import Model
from stage.team import Team, Wire
from stage.wait import until


def changes(second_commit: str, other_image: str) -> dict[str, Any]:
    """Return another value for each field of ``spec.model``, by its path."""
    return {
        "source.huggingFace.repository": "holdfast/tiny-chat",
        "source.huggingFace.commit": second_commit,
        "source.huggingFace.manifestDigest": "sha256:" + "5" * 64,
        "source.huggingFace.include": ["*.gguf", "README.md"],
        "engine.type": "TGI",
        "engine.image": other_image,
        "engine.options.contextLength": 1024,
        "engine.options.dataType": "bfloat16",
        "engine.options.quantization": "awq",
        "engine.options.seed": 1,
        "engine.options.tensorParallelism": 2,
        "engine.options.modelFile": "tiny.gguf",
        "engine.args": ["--threads=2"],
        "chatTemplate.text": "{% for m in messages %}{{ m['content'] }}{% endfor %}",
        "generation.temperature": 0.5,
        "generation.topP": 0.5,
        "generation.topK": 5,
        "servedName": "another-name",
    }


def leaves(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Return the paths of all fields of a model that hold a value of their own."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        parts = (field.annotation, *typing.get_args(field.annotation))
        inner = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
        found |= leaves(inner[0], f"{path}.") if inner else {path}
    return found


def changed(model: Wire, path: str, value: object) -> Wire:
    """Return a copy of a model with one field changed."""
    copied = copy.deepcopy(model)
    place = copied
    *parents, last = path.split(".")
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return copied


def test_no_field_changes_what_users_get_before_the_owner_agrees(team: Team, commits: tuple[str, str], engine: str) -> None:
    table = changes(commits[1], engine[:-64] + "5" * 64)
    assert set(table) == leaves(Model), "each field of spec.model has a change in this test"
    base = team.model(commit=commits[0], image=engine)
    serve_first(team, commits[0], engine)
    serving = team.status(NAME)["stable"]["digest"]
    with team.traffic(NAME) as traffic:
        for path, value in table.items():
            outcome = team.apply(team.manifest(NAME, changed(base, path, value), rollout=ROLLOUT))
            assert outcome.code == 0, f"{path}: {outcome.output}"

            def stopped() -> Wire | None:
                found = team.get(NAME)
                status: Wire = found["status"]
                if status.get("observedGeneration") != found["metadata"]["generation"]:
                    return None
                waits = status["phase"] == "AwaitingApproval" and status["request"]["digest"] != serving
                return status if waits or team.condition(NAME, "Stalled").get("status") == "True" else None

            until(stopped, what=f"{path} to be stopped")
            traffic.after_now(20)
            assert {p["metadata"]["labels"]["holdfast.dev/revision"] for p in team.pods(NAME)} == {"1"}, path
            declare(team, commits[0], engine)
            status = team.wait_phase(NAME, "Stable")
            assert status["stable"]["digest"] == serving, path
    no_failures(traffic)
    assert set(traffic.counts().by_revision) == {"1"}, "no answer in the whole time came from anything else"
