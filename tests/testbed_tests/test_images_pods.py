"""Each image runs on the bed's node without any right, and answers."""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator

import pytest

from testbed import Testbed, images
from testbed.models import tiny_gguf
from testbed_tests import probe
from testbed_tests.image_pods import NAMESPACE, PORT, SECURITY, complete, config_map, serve, spec

ANYWHERE = "0.0.0.0"  # noqa: S104  (in a pod's own network)
_ENVOY = {
    "static_resources": {
        "listeners": [
            {
                "address": {"socket_address": {"address": ANYWHERE, "port_value": PORT}},
                "filter_chains": [
                    {
                        "filters": [
                            {
                                "name": "http",
                                "typed_config": {
                                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager"
                                    ".v3.HttpConnectionManager",
                                    "stat_prefix": "http",
                                    "http_filters": [
                                        {
                                            "name": "router",
                                            "typed_config": {
                                                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                                            },
                                        }
                                    ],
                                    "route_config": {
                                        "virtual_hosts": [
                                            {
                                                "name": "all",
                                                "domains": ["*"],
                                                "routes": [
                                                    {
                                                        "match": {"prefix": "/"},
                                                        "direct_response": {
                                                            "status": 200,
                                                            "body": {"inline_string": "from Envoy"},
                                                        },
                                                    }
                                                ],
                                            }
                                        ]
                                    },
                                },
                            }
                        ]
                    }
                ],
            }
        ]
    }
}


@pytest.fixture(scope="module")
def namespace(bed: Testbed) -> Iterator[Testbed]:
    bed.kubectl.apply([probe.namespace(NAMESPACE)])
    yield bed
    bed.kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def pushed(namespace: Testbed) -> Callable[[str], str]:
    """An image's reference, the same one for all tests: the checkout may change meanwhile."""
    return functools.cache(lambda name: images.ensure(namespace, name))


@pytest.fixture(scope="module")
def weights(namespace: Testbed) -> dict[str, bytes]:
    """The GGUF file, and where a pod finds it: the ConfigMap `weights`."""
    files = {"tiny.gguf": tiny_gguf(0)["tiny.gguf"]}
    namespace.kubectl.apply([config_map("weights", files)])
    return files


@pytest.mark.parametrize("name", ["base", "holdfast", "envoy", "llamacpp", "fake-engine", "hub"])
def test_the_files_of_an_image_are_not_its_users_to_write(name: str, namespace: Testbed, pushed: Callable[[str], str]) -> None:
    image = pushed(name)
    script = "id -u; for folder in / /etc /opt /usr/bin /tmp; do touch $folder/x 2> /dev/null && echo $folder; done; true"
    writable = {"securityContext": {**SECURITY, "readOnlyRootFilesystem": False}}
    code, log = complete(namespace, f"{name}-writes", spec(image, command=["/bin/sh", "-c", script], container=writable))
    assert (code, log.split()) == (0, ["65532", "/tmp"])


def test_a_second_push_of_the_same_content_is_the_same_image(namespace: Testbed) -> None:
    assert images.ensure(namespace, "envoy") == images.ensure(namespace, "envoy")


def test_the_programs_of_holdfast_are_on_the_path_with_nothing_to_install_more(
    namespace: Testbed, pushed: Callable[[str], str]
) -> None:
    image = pushed("holdfast")
    names = ("holdfast", "holdfast-operator", "holdfast-weights", "kubectl-holdfast")
    script = f"for name in {' '.join(names)} pip; do command -v $name; done; holdfast --help"
    code, log = complete(namespace, "holdfast-programs", spec(image, command=["/bin/sh", "-c", script]))
    found = [line for line in log.splitlines() if line.startswith("/")]
    assert (code, found) == (0, [f"/opt/holdfast/bin/{name}" for name in names])
    assert "approve" in log


def test_the_operator_of_the_image_starts(namespace: Testbed, pushed: Callable[[str], str]) -> None:
    image = pushed("holdfast")
    _code, log = complete(namespace, "holdfast-operator", spec(image, args=["--help"]))
    assert "holdfast-operator" in log


def test_no_byte_code_is_stale_or_missing(namespace: Testbed, pushed: Callable[[str], str]) -> None:
    """A module without byte code would be compiled at each start: the root file system is read-only."""
    image = pushed("holdfast")
    script = (
        "import importlib, sys; importlib.import_module('holdfast.cli.main'); importlib.import_module('kopf');"
        "print([name for name, module in sys.modules.items() if getattr(module, '__cached__', None)"
        " and module.__file__.endswith('.py') and not __import__('os').path.exists(module.__cached__)])"
    )
    code, log = complete(namespace, "holdfast-bytecode", spec(image, command=["/opt/holdfast/bin/python", "-c", script]))
    assert (code, log.strip()) == (0, "[]")


def test_envoy_answers(namespace: Testbed, pushed: Callable[[str], str]) -> None:
    image = pushed("envoy")
    namespace.kubectl.apply([config_map("envoy", {"envoy.json": json.dumps(_ENVOY).encode()})])
    args = ["--config-path", "/files/envoy.json", "--concurrency", "1"]
    pod = serve(namespace, "envoy", spec(image, args=args, files="envoy", health="/"))
    assert pod.get("/") == "from Envoy"


def test_llama_cpp_answers_from_its_weights(namespace: Testbed, pushed: Callable[[str], str], weights: dict[str, bytes]) -> None:
    assert weights
    image = pushed("llamacpp")
    args = ["--model", "/files/tiny.gguf", "--alias", "chat", "--host", ANYWHERE, "--port", str(PORT), "--ctx-size", "512"]
    args += ["--seed", "-1", "--temp", "1", "--top-p", "1", "--top-k", "0", "--min-p", "0", "--fit", "off", "--jinja"]
    args += ["--offline", "--no-webui", "--metrics"]
    pod = serve(namespace, "llamacpp", spec(image, args=args, files="weights", health="/health"))
    first, again = pod.chat(), pod.chat()
    assert first["choices"][0]["message"]["content"]
    assert first["choices"][0]["message"] == again["choices"][0]["message"]
    assert [card["id"] for card in pod.json("/v1/models")["data"]] == ["chat"]
    assert "llamacpp:tokens_predicted_total" in pod.get("/metrics")


def test_llama_cpp_refuses_a_flag_that_it_does_not_know(namespace: Testbed, pushed: Callable[[str], str]) -> None:
    image = pushed("llamacpp")
    args = ["--model", "/files/tiny.gguf", "--nonsense", "lab/model"]
    code, log = complete(namespace, "llamacpp-flag", spec(image, args=args))
    assert (code, log.strip()) == (1, "error: invalid argument: --nonsense")


def test_llama_cpp_says_that_there_are_no_weights(namespace: Testbed, pushed: Callable[[str], str]) -> None:
    image = pushed("llamacpp")
    code, log = complete(namespace, "llamacpp-empty", spec(image, args=["--model", "/tmp/none.gguf"]))
    assert code == 1
    assert "error: " in log


@pytest.mark.parametrize(
    ("flavor", "command", "args"),
    [
        ("vllm", [], ["/files", "--served-model-name=chat", f"--host={ANYWHERE}", "--port=8000"]),
        ("tgi", [], ["--model-id=/files", f"--hostname={ANYWHERE}", "--port=8000"]),
        (
            "sglang",
            ["python3", "-m", "sglang.launch_server"],
            ["--model-path=/files", "--served-model-name=chat", f"--host={ANYWHERE}", "--port=8000"],
        ),
        ("llamacpp", [], ["--model", "/files/tiny.gguf", "--alias", "chat", "--host", ANYWHERE, "--port", "8000"]),
        ("vllm", ["vllm", "serve"], ["/files", f"--host={ANYWHERE}", "--port=8000", "--served-model-name=chat"]),
    ],
    ids=["vllm", "tgi", "sglang", "llamacpp", "vllm-by-command"],
)
def test_the_fake_engine_answers_with_the_hash_of_the_bytes(
    flavor: str,
    command: list[str],
    args: list[str],
    namespace: Testbed,
    pushed: Callable[[str], str],
    weights: dict[str, bytes],
    request: pytest.FixtureRequest,
) -> None:
    found = spec(pushed("fake-engine"), command=command, args=args, files="weights", health="/health")
    pod = serve(namespace, f"fake-{request.node.callspec.id}", found)
    line = f"{hashlib.sha256(weights['tiny.gguf']).hexdigest()}  tiny.gguf\n"
    assert pod.json("/fake/argv")["flavor"] == flavor
    content = pod.chat()["choices"][0]["message"]["content"]
    assert content.split()[0] == f"sha256:{hashlib.sha256(line.encode()).hexdigest()}"
