"""The real vLLM on a processor, with the arguments that Holdfast renders. Its image is large: 0.85 GB to push and to pull."""

from collections.abc import Iterator

import pytest

from holdfast.api.model import EngineType, Model
from holdfast.render.version1.vllm import VLLM
from testbed import Testbed, images
from testbed.models import tiny_model
from testbed_tests import probe
from testbed_tests.image_pods import NAMESPACE, Pod, config_map, serve, spec
from unit.render.cases import declared, resolved

pytestmark = pytest.mark.vllm

FINGERPRINT = "v1:0123456789abcdef"
# What an engine without a GPU and without a compiler needs beside Holdfast's own arguments.
ON_A_PROCESSOR = ["--enforce-eager", "--kv-cache-memory-bytes=67108864"]


def _model() -> Model:
    options = {"options": {"contextLength": 512, "dataType": "float32"}, "args": ON_A_PROCESSOR}
    return declared(EngineType.VLLM, engine_fields=options, servedName="chat")


@pytest.fixture(scope="module")
def vllm(bed: Testbed) -> Iterator[Pod]:
    files = tiny_model(0)
    container = VLLM().container(resolved(_model(), tuple(files)), fingerprint=FINGERPRINT, drain_seconds=5)
    bed.kubectl.apply([probe.namespace(NAMESPACE)])
    bed.kubectl.apply([config_map("vllm", files)])
    environment = [{"name": name, "value": value} for name, value in container.env.items()]
    of = spec(
        images.ensure(bed, "vllm"),
        args=container.args,
        files="vllm",
        at="/holdfast/model",
        health=container.health_path,
        container={"env": environment, "resources": {"limits": {"memory": "4Gi"}}},
        volumes={"shm": ("/dev/shm", {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}})},
    )
    yield serve(bed, "vllm", of, within=300)
    bed.kubectl.run("delete", "pod", "vllm", "--namespace", NAMESPACE, "--wait=true")


@pytest.mark.timeout(1500)  # the first start builds the image
def test_it_answers_the_same_again_under_the_fingerprint_of_the_revision(vllm: Pod) -> None:
    first, again = vllm.chat(tokens=32), vllm.chat(tokens=32)
    assert first["choices"][0]["message"]["content"]
    assert first["choices"] == again["choices"]
    assert first["system_fingerprint"] == FINGERPRINT


def test_it_is_the_version_that_is_locked(vllm: Pod) -> None:
    assert vllm.json("/version") == {"version": "0.32.0"}


def test_it_refuses_another_model(vllm: Pod) -> None:
    with pytest.raises(OSError, match="404"):
        vllm.chat(model="other")


def test_log_probabilities_do_not_end_it(vllm: Pod) -> None:
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, "logprobs": True}
    assert vllm.post("/v1/chat/completions", body)["choices"][0]["logprobs"]["content"]
    assert vllm.get("/health") == ""


def test_it_has_the_metrics_that_are_read(vllm: Pod) -> None:
    text = vllm.get("/metrics")
    for name in ("vllm:num_requests_running", "vllm:time_to_first_token_seconds_bucket", "vllm:request_success_total"):
        assert f"{name}{{" in text
    assert 'model_name="chat"' in text
