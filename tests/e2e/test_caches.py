"""Weights that nobody fetches: the owner's own volume, and an image that the node pulls."""

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from e2e.story import NAME
from e2e.test_bytes import EXPECTED, hashes
from holdfast.api.manifest import manifest_digest
from holdfast.api.model import File
from stage.team import Team, Wire
from stage.wait import until
from testbed import Testbed
from testbed.hub import HubServer
from testbed.models import tiny_gguf

WEIGHTS = tiny_gguf(0)["tiny.gguf"]
FILES = [File(path="tiny.gguf", size=len(WEIGHTS), sha256=hashlib.sha256(WEIGHTS).hexdigest())]
LISTED: Wire = {"files": [file.wire() for file in FILES], "manifestDigest": manifest_digest(FILES)}


def serve(team: Team, image: str, source: Wire, cache: str) -> None:
    """Bring a model from a source to serve."""
    model = team.model(commit="0" * 40, image=image, source=source)
    outcome = team.apply(team.manifest(NAME, model, serving={"cache": {"type": cache}}))
    assert outcome.code == 0, outcome.output
    team.wait_phase(NAME, "AwaitingApproval")
    team.must("approve", NAME, "--yes", "--reason", "first")
    team.wait_phase(NAME, "Stable")


@pytest.fixture
def own_volume(bed: Testbed, team: Team) -> Path:
    """A claim `own` of the team, on a folder of the node that holds the model."""
    name = f"own-{team.namespace}"
    folder = bed.directory / "volumes" / name
    folder.mkdir(parents=True)
    (folder / "tiny.gguf").write_bytes(WEIGHTS)
    anywhere = {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    bed.kubectl.apply(
        [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": name},
                "spec": common
                | {
                    "capacity": {"storage": "1Gi"},
                    "persistentVolumeReclaimPolicy": "Retain",
                    "local": {"path": str(folder)},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [anywhere]}},
                },
            },
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "own", "namespace": team.namespace},
                "spec": common | {"volumeName": name, "resources": {"requests": {"storage": "1Gi"}}},
            },
        ]
    )
    return folder


@pytest.fixture
def modelcar(bed: Testbed, tmp_path: Path) -> str:
    """An image with the model under /models, in the bed's registry."""
    layer = tmp_path / "layer.tar"
    with tarfile.open(layer, "w") as archive:
        for name, content in (("models", None), ("models/tiny.gguf", WEIGHTS)):
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = 0o755 if content is None else 0o644, len(content or b"")
            entry.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            archive.addfile(entry, io.BytesIO(content or b""))
    target = f"{bed.registry}/modelcar"
    command = [str(bed.programs.crane), "append", "--insecure", f"--new_layer={layer}", f"--new_tag={target}:latest"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return f"{target}@{result.stdout.strip().rpartition('@')[2]}"


class TestOwnVolume:
    def test_it_serves_from_there_and_engines_reach_nothing(
        self, team: Team, hub: HubServer, engine: str, own_volume: Path
    ) -> None:
        assert own_volume.is_dir()
        serve(team, engine, {"volume": {"claimName": "own", **LISTED}}, "Volume")
        assert hashes(team) == {EXPECTED[0]}
        assert team.status(NAME)["weights"][0]["kept"] == "Durable"
        assert team.condition(NAME, "Durable")["status"] == "True"
        host, _, port = hub.url.removeprefix("http://").partition(":")
        pod = team.ready_pods(NAME)[0]["metadata"]["name"]
        ask = f"import socket; socket.create_connection(('{host}', {int(port)}), 3)"
        inside = ("exec", "--namespace", team.namespace, pod, "--container=engine", "--", "/opt/llamacpp/bin/python", "-c", ask)
        with pytest.raises(Exception, match=r"TimeoutError|timed out"):
            team.admin.run(*inside)

    def test_other_bytes_there_never_serve(self, team: Team, engine: str, own_volume: Path) -> None:
        spoilt = bytearray(WEIGHTS)
        spoilt[len(spoilt) // 2] ^= 1
        (own_volume / "tiny.gguf").write_bytes(spoilt)
        model = team.model(commit="0" * 40, image=engine, source={"volume": {"claimName": "own", **LISTED}})
        team.apply(team.manifest(NAME, model, serving={"cache": {"type": "Volume"}}))
        team.wait_phase(NAME, "AwaitingApproval")
        team.must("approve", NAME, "--yes", "--reason", "first")
        found = until(
            lambda: c if (c := team.condition(NAME, "Pinned")).get("status") == "False" else None,
            what="the condition Pinned=False",
        )
        assert found["reason"] == "WeightsMismatch"
        assert "tiny.gguf" in found["message"]
        assert team.ready_pods(NAME) == []


class TestImage:
    def test_it_serves_what_the_node_pulled_and_verified(self, team: Team, engine: str, modelcar: str) -> None:
        serve(team, engine, {"oci": {"reference": modelcar, **LISTED}}, "Image")
        assert hashes(team) == {EXPECTED[0]}
        assert team.status(NAME)["weights"][0]["kept"] == "Upstream"
