"""What the demo needs to be told about a cluster of the reader's."""

from pathlib import Path

import pytest

from demo.settings import SettingsError, foreign_cluster, foreign_kubeconfig

DIGEST = "@sha256:" + "5" * 64


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    for program in ("kubectl", "helm"):
        path = tmp_path / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o755)
    (tmp_path / "kubeconfig").touch()
    return {
        "PATH": str(tmp_path / "bin"),
        "HOLDFAST_KUBECONFIG": str(tmp_path / "kubeconfig"),
        "HOLDFAST_IMAGE": f"registry.test/holdfast{DIGEST}",
        "HOLDFAST_GATEWAY_IMAGE": f"registry.test/envoy{DIGEST}",
        "HOLDFAST_ENGINE_IMAGE": f"registry.test/llamacpp{DIGEST}",
        "HOLDFAST_DEMO_HUB_IMAGE": f"registry.test/hub{DIGEST}",
    }


def test_without_a_kubeconfig_the_demo_makes_its_own_cluster() -> None:
    assert foreign_cluster({}) is None


def test_everything_that_is_named_is_used(environment: dict[str, str], tmp_path: Path) -> None:
    found = foreign_cluster(environment)
    assert found is not None
    assert found.kubeconfig == tmp_path / "kubeconfig"
    assert found.helm == tmp_path / "bin" / "helm"
    assert found.hub == environment["HOLDFAST_DEMO_HUB_IMAGE"]


@pytest.mark.parametrize(
    "variable", ["HOLDFAST_IMAGE", "HOLDFAST_GATEWAY_IMAGE", "HOLDFAST_ENGINE_IMAGE", "HOLDFAST_DEMO_HUB_IMAGE"]
)
@pytest.mark.parametrize("value", ["", "registry.test/holdfast:latest"])
def test_each_image_is_named_by_digest(environment: dict[str, str], variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is needed with HOLDFAST_KUBECONFIG: an image by digest"):
        foreign_cluster(environment | {variable: value})


def test_a_kubeconfig_that_is_not_there_is_said(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="which is not a file"):
        foreign_kubeconfig({"HOLDFAST_KUBECONFIG": environment["HOLDFAST_KUBECONFIG"] + "-not"})


@pytest.mark.parametrize("program", ["kubectl", "helm"])
def test_the_programs_are_the_reader_s(environment: dict[str, str], tmp_path: Path, program: str) -> None:
    (tmp_path / "bin" / program).unlink()
    with pytest.raises(SettingsError, match=f"{program} is needed on PATH"):
        foreign_cluster(environment)
