"""A hub for each test, and the real client to talk to it."""

import os

# Read at import: the client must neither report usage nor pick up a token of the machine it runs on.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi, close_session, constants, hf_hub_download

from testbed.hub import HubAdmin, HubServer

REPO = "lab/model"


@pytest.fixture(autouse=True)
def _client_stays_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Keep the client's cache in the test's folder, whoever imported the client first."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield
    close_session()


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as running:
        yield running


@pytest.fixture
def admin(hub: HubServer) -> HubAdmin:
    return hub.admin


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    """The real client, anonymous."""
    return HfApi(endpoint=hub.url, token=False)


@pytest.fixture
def weights() -> bytes:
    """Content of a large file: no two pieces are alike."""
    return b"".join(i.to_bytes(4, "big") for i in range(50_000))


@pytest.fixture
def head(admin: HubAdmin, weights: bytes) -> str:
    """Commit id of a small repository with plain and LFS files in two directories."""
    admin.create_repo(REPO)
    return admin.commit(
        REPO,
        {
            "README.md": b"---\nlicense: apache-2.0\npipeline_tag: text-generation\ntags:\n- tiny\n---\n# A model\n",
            "config.json": b'{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}',
            "weights/model.bin": weights,
            "weights/notes/a.txt": b"about the weights",
        },
        title="Publish the model",
        message="With everything in it.",
    )


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client would have waited between attempts; it does not wait here."""
    seconds: list[float] = []
    clock = SimpleNamespace(sleep=seconds.append)
    monkeypatch.setattr("huggingface_hub.utils._http.time", clock)
    monkeypatch.setattr("huggingface_hub.file_download.time", clock)
    return seconds


@pytest.fixture
def download(hub: HubServer) -> Callable[..., bytes]:
    """Download one file of the repository with the real client and return its bytes."""

    def run(path: str, *, repo: str = REPO, revision: str = "main", token: str | bool = False) -> bytes:
        return Path(hf_hub_download(repo, path, revision=revision, endpoint=hub.url, token=token)).read_bytes()

    return run
