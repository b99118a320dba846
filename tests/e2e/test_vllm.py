"""The same life with vLLM, with exactly the flags that are rendered for it, and first with every part that a model can have."""

import hashlib
import json
from collections.abc import Mapping

import pytest

from e2e.story import NAME, ROLLOUT, no_failures, only
from holdfast.api.names import revision_name
from holdfast.domain.pin import short_digest
from stage.team import Team, Wire
from stage.traffic import ask_once
from testbed import Testbed, images
from testbed.hub import Demo, HubServer
from testbed.models import tiny_adapter, tiny_model

pytestmark = pytest.mark.vllm

SERVING = {"resources": {"requests": {"memory": "3Gi"}, "limits": {"memory": "4Gi"}}}
FALLBACK = {"standbyReplicas": 0}
MODEL = "holdfast/tiny-chat"
ADAPTER = "polite"
DRAFTED = "vllm:spec_decode_num_draft_tokens_total"
METRICS = ("vllm:num_requests_running", "vllm:time_to_first_token_seconds_bucket", "vllm:request_success_total")
"""Those that are read."""
_READ = "import sys, urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000' + sys.argv[1]).read().decode())"

Files = Mapping[str, bytes]


def repository(name: str, commit: str, **choice: object) -> Wire:
    return {"huggingFace": {"repository": name, "commit": commit} | choice}


def model(source: Wire, image: str, **parts: object) -> Wire:
    """Return ``spec.model`` of the tiny model for vLLM; the arguments are what it needs without a GPU."""
    return {
        "source": source,
        "engine": {
            "type": "VLLM",
            "image": image,
            "options": {"contextLength": 512, "dataType": "float32", "seed": 0},
            "args": ["--enforce-eager", "--kv-cache-memory-bytes=67108864"],
        },
        "generation": {"temperature": 0.7, "topP": 0.8},
    } | parts


def published(hub: HubServer, name: str, files: Files, beginnings: tuple[str, ...]) -> tuple[Wire, Files]:
    """Publish the files whose names begin so as a repository; return it as a source, and the files."""
    taken = {path: content for path, content in files.items() if path.startswith(beginnings)}
    hub.admin.create_repo(name)
    return repository(name, hub.admin.commit(name, taken)), taken


def parts(demo: Demo, tokenizer: Wire, adapter: Wire) -> Wire:
    """Return the fields of a model whose tokenizer, adapter and draft model are not in its own repository."""
    return {
        "source": repository(MODEL, demo.chat[0], include=["config.json", "generation_config.json", "model.safetensors"]),
        "tokenizer": tokenizer,
        "adapters": [{"name": ADAPTER, "source": adapter}],
        "draftModel": {"source": repository(MODEL, demo.chat[0]), "tokens": 4},
    }


def is_pinned(source: Wire, files: Files) -> None:
    """Every one of the files is listed with its hash, and no other."""
    assert source["manifestDigest"]
    assert {file["path"]: file["sha256"] for file in source["files"]} == {
        path: hashlib.sha256(content).hexdigest() for path, content in files.items()
    }


def asked(team: Team, name: str, **fields: object) -> tuple[int, Wire]:
    """Ask through the gateway; return the status and the body of what revision 1 says."""
    with team.url(NAME) as url:
        code, headers, body = ask_once(url, host=team.host(NAME), model=name, fields=fields)
    assert headers["x-holdfast-revision"] == "1"
    return code, json.loads(body)


def answer(team: Team, name: str, *, digest: str) -> str:
    """Return what revision 1 says under a model name: twice the same, with the fingerprint of its digest."""
    said = set()
    for _ in range(2):
        code, found = asked(team, name, max_tokens=32)
        assert (code, found["model"], found["system_fingerprint"]) == (200, name, short_digest(digest)), found
        said.add(found["choices"][0]["message"]["content"])
    (content,) = said
    assert content
    return str(content)


def read(bed: Testbed, team: Team, path: str) -> str:
    """Read from the engine itself, in its pod."""
    (pod,) = team.ready_pods(NAME)
    engine = ("--namespace", team.namespace, pod["metadata"]["name"], "--container=engine")
    return bed.kubectl.run("exec", *engine, "--", "python3", "-c", _READ, path)


@pytest.mark.timeout(1800)
def test_serves_tries_and_promotes_with_vllm(bed: Testbed, team: Team, hub: HubServer, demo: Demo) -> None:
    image = images.ensure(bed, "vllm")
    second = demo.chat[1]
    assert second is not None
    tokenizer, tokenizer_files = published(hub, "holdfast/tiny-words", tiny_model(0), ("tokenizer", "chat_template"))
    adapter, adapter_files = published(hub, "holdfast/tiny-polite", tiny_adapter(7), ("adapter_",))
    common = {"rollout": ROLLOUT, "serving": SERVING, "fallback": FALLBACK}
    first = model(image=image, **parts(demo, tokenizer, adapter))
    assert team.apply(team.manifest(NAME, first, **common)).code == 0
    team.wait_phase(NAME, "AwaitingApproval")
    pinned = team.admin.get("modelrevisions.holdfast.dev", revision_name(NAME, 1), "--namespace", team.namespace)["spec"]["model"]
    is_pinned(pinned["tokenizer"], tokenizer_files)
    is_pinned(pinned["adapters"][0]["source"], adapter_files)
    assert "model.safetensors" in {file["path"] for file in pinned["draftModel"]["source"]["files"]}

    team.must("approve", NAME, "--yes", "--reason", "first")
    digest = team.wait_phase(NAME, "Stable", timeout=400)["stable"]["digest"]
    assert answer(team, NAME, digest=digest) != answer(team, ADAPTER, digest=digest)
    assert asked(team, "other")[0] == 404
    assert asked(team, NAME, logprobs=True)[1]["choices"][0]["logprobs"]["content"]
    assert json.loads(read(bed, team, "/version")) == {"version": "0.32.0"}
    metrics = read(bed, team, "/metrics")
    assert [name for name in METRICS if f"{name}{{" not in metrics] == []
    assert f'model_name="{NAME}"' in metrics
    drafted = [line for line in metrics.splitlines() if line.startswith(DRAFTED)]
    assert drafted
    assert float(drafted[0].split()[-1]) > 0

    with team.traffic(NAME, per_second=10.0) as traffic:
        assert team.apply(team.manifest(NAME, model(repository(MODEL, second), image), **common)).code == 0
        team.wait_request(NAME, above=1)
        team.must("approve", NAME, "--yes", "--reason", "second")
        team.wait_phase(NAME, "AwaitingPromotion", timeout=400)
        team.must("approve", NAME, "--yes", "--reason", "better")
        team.wait_phase(NAME, "Draining", "Stable", timeout=120)
        only(traffic, "2")
    no_failures(traffic)
