"""holdfast pin, with the real Hub client against a stand-in of the Hub and a registry on loopback."""

import json
from collections.abc import Iterator

import pytest
import yaml
from huggingface_hub import close_session

import builders
from holdfast.api.deployment import ModelDeploymentSpec
from holdfast.api.manifest import manifest_digest
from holdfast.api.model import File
from holdfast.cli.manifest import Remarks, manifest, yaml_text
from testbed.hub import Demo, HubServer, Status, seed_demo
from testbed.models import tiny_gguf
from unit.cli.conftest import Cli
from unit.registry import RegistryStandIn

GGUF = "holdfast/tiny-chat-GGUF"
CHAT = "holdfast/tiny-chat"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as running:
        yield running
    close_session()


@pytest.fixture
def demo(hub: HubServer, bare_cli: Cli) -> Demo:
    bare_cli.environ["HF_ENDPOINT"] = hub.url
    return seed_demo(hub.admin)


@pytest.fixture
def registry() -> Iterator[RegistryStandIn]:
    with RegistryStandIn() as running:
        yield running


@pytest.fixture
def image(registry: RegistryStandIn) -> str:
    """An engine image, by digest."""
    return f"{registry.host}/lab/engine@{registry.push('lab/engine', 'v1')}"


def _files(contents: dict[str, bytes]) -> list[File]:
    import hashlib

    return [File(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest()) for path, data in contents.items()]


def test_a_branch_becomes_a_commit_with_the_hash_of_its_files(bare_cli: Cli, demo: Demo, image: str) -> None:
    result = bare_cli("pin", GGUF, "--image", image, "--name", "support-chat", "-n", "team-a")
    assert result.code == 0, result.err
    document = yaml.safe_load(result.out)
    gguf = {path: data for path, data in tiny_gguf(1).items() if path.endswith(".gguf")}
    assert document == {
        "apiVersion": "holdfast.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "support-chat", "namespace": "team-a"},
        "spec": {
            "model": {
                "source": {
                    "huggingFace": {
                        "repository": GGUF,
                        "commit": demo.chat_gguf[1],
                        "manifestDigest": manifest_digest(_files(gguf)),
                        "include": list(gguf),
                    }
                },
                "engine": {"type": "LlamaCpp", "image": image, "options": {"modelFile": next(iter(gguf))}},
            }
        },
    }
    ModelDeploymentSpec.parse(document["spec"])


def test_a_tag_and_a_commit_are_what_they_name(bare_cli: Cli, demo: Demo, image: str) -> None:
    for ref in ("v1", demo.chat_gguf[0], demo.chat_gguf[0][:8]):
        result = bare_cli("pin", f"{GGUF}@{ref}", "--image", image)
        assert yaml.safe_load(result.out)["spec"]["model"]["source"]["huggingFace"]["commit"] == demo.chat_gguf[0], result.err


def test_the_manifest_tells_what_was_asked_for_and_when(bare_cli: Cli, demo: Demo, registry: RegistryStandIn) -> None:
    registry.push("lab/engine", "v1", platforms=("linux/arm64", "linux/amd64"))
    out = bare_cli("pin", GGUF, "--image", f"{registry.host}/lab/engine:v1").out
    assert out.startswith(f"# pinned by holdfast on 2026-11-21 from {bare_cli.environ['HF_ENDPOINT']}\n")
    assert f"commit: {demo.chat_gguf[1]} # main on 2026-11-21\n" in _squeezed(out)
    assert "# 1 of 4 files, 848 kB" in out
    assert "include: # only what is loaded; --include takes more" in _squeezed(out)
    assert "# v1 on 2026-11-21 (linux/amd64, linux/arm64)" in out


def test_a_tag_of_the_image_becomes_its_digest(bare_cli: Cli, demo: Demo, registry: RegistryStandIn) -> None:
    digest = registry.push("lab/engine", "v1")
    out = bare_cli("pin", GGUF, "--image", f"{registry.host}/lab/engine:v1").out
    assert yaml.safe_load(out)["spec"]["model"]["engine"]["image"] == f"{registry.host}/lab/engine@{digest}"


def test_an_image_by_digest_needs_no_registry(bare_cli: Cli, demo: Demo) -> None:
    image = f"registry.invalid/lab/engine:v1@sha256:{'1' * 64}"
    out = bare_cli("pin", GGUF, "--image", image).out
    assert yaml.safe_load(out)["spec"]["model"]["engine"]["image"] == f"registry.invalid/lab/engine@sha256:{'1' * 64}"


def test_a_repository_of_safetensors_is_for_vllm(bare_cli: Cli, demo: Demo, image: str) -> None:
    result = bare_cli("pin", CHAT, "--image", image)
    document = yaml.safe_load(result.out)
    assert document["metadata"] == {"name": "tiny-chat"}
    assert document["spec"]["model"]["engine"] == {"type": "VLLM", "image": image}
    assert "include" not in document["spec"]["model"]["source"]["huggingFace"]
    assert result.out.endswith("  # on GPUs:\n  # serving: {accelerator: {resource: nvidia.com/gpu, count: 1}}\n")


def test_an_engine_is_named_in_any_case(bare_cli: Cli, demo: Demo, image: str) -> None:
    out = bare_cli("pin", CHAT, "--image", image, "--engine", "sglang").out
    assert yaml.safe_load(out)["spec"]["model"]["engine"]["type"] == "SGLang"


def test_json_is_for_programs(bare_cli: Cli, demo: Demo, image: str) -> None:
    as_json = json.loads(bare_cli("pin", GGUF, "--image", image, "-o", "json").out)
    assert as_json == yaml.safe_load(bare_cli("pin", GGUF, "--image", image).out)


def test_only_the_manifest_goes_to_stdout(bare_cli: Cli, demo: Demo, image: str) -> None:
    result = bare_cli("pin", GGUF, "--image", image)
    assert result.err == f"asking {bare_cli.environ['HF_ENDPOINT']} about {GGUF}\n"


def test_the_option_wins_over_the_variable(bare_cli: Cli, demo: Demo, hub: HubServer, image: str) -> None:
    bare_cli.environ["HF_ENDPOINT"] = "http://127.0.0.1:1"
    assert bare_cli("pin", GGUF, "--image", image, "--endpoint", hub.url + "/").code == 0


@pytest.mark.parametrize(
    ("repository", "code", "said"),
    [
        ("holdfast/absent", 3, "holdfast/absent does not exist at"),
        (f"{GGUF}@nope", 3, "has no such commit"),
        ("holdfast/tiny-chat-private", 3, "or is private and no token was given"),
        ("holdfast/tiny-chat-gated", 5, "is gated"),
    ],
)
def test_what_the_hub_does_not_give_is_one_sentence(
    bare_cli: Cli, demo: Demo, image: str, repository: str, code: int, said: str
) -> None:
    result = bare_cli("pin", repository, "--image", image, "--include", "*")
    assert (result.code, result.out) == (code, "")
    *_, last = result.err.splitlines()
    assert last.startswith("error: ")
    assert said in last


@pytest.mark.parametrize("repository", ["holdfast/tiny-chat-private", "holdfast/tiny-chat-gated"])
def test_the_token_of_the_environment_opens_what_its_account_may_see(
    bare_cli: Cli, demo: Demo, image: str, repository: str
) -> None:
    bare_cli.environ["HF_TOKEN"] = demo.owner_token
    result = bare_cli("pin", repository, "--image", image, "--include", "*")
    assert result.code == 0, result.err
    assert demo.owner_token not in result.out + result.err


def test_a_hub_in_trouble_is_told_apart(bare_cli: Cli, demo: Demo, hub: HubServer, image: str) -> None:
    hub.admin.add_fault(Status(match=r"/api/models/", status=503))
    result = bare_cli("pin", GGUF, "--image", image)
    assert result.code == 6
    assert "503" in result.err


def test_a_hub_that_is_not_there(bare_cli: Cli, image: str) -> None:
    result = bare_cli("pin", GGUF, "--image", image, "--endpoint", "http://127.0.0.1:1")
    assert result.code == 6
    assert "http://127.0.0.1:1" in result.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("image_text", "code", "said"),
    [
        ("busybox", 2, "'busybox' names no version; add the tag that was tested, such as busybox:v1.2.3, or a digest"),
        ("{host}/lab/engine:v9", 3, "lab/engine:v9 does not exist (HTTP 404)"),
        ("127.0.0.1:1/lab/engine:v1", 6, "the registry 127.0.0.1:1 was not reached"),
    ],
)
def test_an_image_that_cannot_be_pinned(
    bare_cli: Cli, demo: Demo, registry: RegistryStandIn, image_text: str, code: int, said: str
) -> None:
    result = bare_cli("pin", GGUF, "--image", image_text.format(host=registry.host))
    assert (result.code, result.out) == (code, "")
    assert said in result.err


def test_an_image_whose_registry_the_kind_would_refuse_is_refused_here(
    bare_cli: Cli, demo: Demo, registry: RegistryStandIn
) -> None:
    result = bare_cli("pin", GGUF, "--image", f"[::1]:5000/lab/engine@sha256:{'1' * 64}")
    assert result.code == 2


def test_files_that_the_engine_cannot_load_are_found_before_the_cluster_does(bare_cli: Cli, demo: Demo, image: str) -> None:
    result = bare_cli("pin", CHAT, "--image", image, "--include", "*.json")
    assert result.code == 1
    assert "would not start: spec.model.source: the files have no *.safetensors, which VLLM loads" in result.err


def test_a_pattern_that_matches_nothing(bare_cli: Cli, demo: Demo, image: str) -> None:
    result = bare_cli("pin", CHAT, "--image", image, "--include", "*.onnx")
    assert result.code == 3
    assert "has no file that matches *.onnx" in result.err


@pytest.mark.parametrize("name", ["Chat", "chat-2"])
def test_a_name_that_the_cluster_would_refuse_is_refused_here(bare_cli: Cli, demo: Demo, image: str, name: str) -> None:
    result = bare_cli("pin", GGUF, "--image", image, "--name", name)
    assert (result.code, result.out) == (2, "")


def test_a_namespace_that_cannot_be_is_refused(bare_cli: Cli) -> None:
    result = bare_cli("pin", GGUF, "-n", "Bad NS")
    assert (result.code, result.out) == (2, "")
    assert "is not a name" in result.err


@pytest.mark.parametrize("repository", ["tiny-chat", "a/b/c", "https://huggingface.co/a/b", "a/b@", "", "@main"])
def test_what_is_no_repository_is_a_wrong_call(bare_cli: Cli, repository: str) -> None:
    result = bare_cli("pin", repository)
    assert result.code == 2
    assert "is not OWNER/NAME or OWNER/NAME@REF" in result.err


def test_what_a_remark_quotes_cannot_leave_its_comment() -> None:
    """Names of branches are the upstream's; a manifest must not become what they want."""
    hostile = "main\nspec: {model: null}\n\x1b[2K # \u202e"
    spec = ModelDeploymentSpec.parse(builders.spec("a").wire())
    document = manifest("chat", None, spec)
    remarks = Remarks(head=(hostile,), version=hostile, manifest_digest=hostile, include=hostile, image=hostile)
    text = yaml_text(document, remarks)
    assert yaml.safe_load(text) == document
    assert "\x1b" not in text
    assert "\u202e" not in text


def _squeezed(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.splitlines()) + "\n"
