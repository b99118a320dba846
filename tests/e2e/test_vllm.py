"""The same life with vLLM, with exactly the flags that are rendered for it."""

import json

import pytest

from e2e.story import NAME, ROLLOUT, no_failures, only
from holdfast.domain.pin import short_digest
from stage.team import Team, Wire
from stage.traffic import ask_once
from testbed import Testbed, images
from testbed.hub import Demo

pytestmark = pytest.mark.vllm

SERVING = {"resources": {"requests": {"memory": "3Gi"}, "limits": {"memory": "4Gi"}}}
FALLBACK = {"standbyReplicas": 0}


def model(commit: str, image: str) -> Wire:
    """Return ``spec.model`` of the tiny model for vLLM; the arguments are what it needs without a GPU."""
    return {
        "source": {"huggingFace": {"repository": "holdfast/tiny-chat", "commit": commit}},
        "engine": {
            "type": "VLLM",
            "image": image,
            "options": {"contextLength": 512, "dataType": "float32", "seed": 0},
            "args": ["--enforce-eager", "--kv-cache-memory-bytes=67108864"],
        },
        "generation": {"temperature": 0.7, "topP": 0.8},
    }


@pytest.mark.timeout(1800)
def test_serves_tries_and_promotes_with_vllm(bed: Testbed, team: Team, demo: Demo) -> None:
    image = images.ensure(bed, "vllm")
    first, second = demo.chat
    assert second is not None
    common = {"rollout": ROLLOUT, "serving": SERVING, "fallback": FALLBACK}
    assert team.apply(team.manifest(NAME, model(first, image), **common)).code == 0
    team.wait_phase(NAME, "AwaitingApproval")
    team.must("approve", NAME, "--yes", "--reason", "first")
    status = team.wait_phase(NAME, "Stable", timeout=400)
    with team.url(NAME) as url:
        code, headers, body = ask_once(url, host=team.host(NAME), model=NAME)
    assert code == 200, body
    assert headers["x-holdfast-revision"] == "1"
    assert json.loads(body)["system_fingerprint"] == short_digest(status["stable"]["digest"])

    with team.traffic(NAME, per_second=10.0) as traffic:
        assert team.apply(team.manifest(NAME, model(second, image), **common)).code == 0
        team.wait_request(NAME, above=1)
        team.must("approve", NAME, "--yes", "--reason", "second")
        team.wait_phase(NAME, "AwaitingPromotion", timeout=400)
        team.must("approve", NAME, "--yes", "--reason", "better")
        team.wait_phase(NAME, "Draining", "Stable", timeout=120)
        only(traffic, "2")
    no_failures(traffic)
