"""Where weights are kept: the owner's own volume, a claim that several nodes share, and an image that the node pulls."""

import contextlib
import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.model_pack import push_model_pack
from e2e.story import NAME, serve_first
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


USER = 65532
"""Whom the pods run as."""


def local_volume(name: str, folder: Path, storage_class: str) -> Wire:
    """A volume that is a folder of the node, for several nodes as far as the API server knows."""
    anywhere = {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": storage_class,
            "capacity": {"storage": "1Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [anywhere]}},
        },
    }


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
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "own", "namespace": team.namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "volumeName": name,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    bed.kubectl.apply([local_volume(name, folder, ""), claim])
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


@pytest.fixture
def shared(bed: Testbed, team: Team) -> Iterator[tuple[Wire, Path]]:
    """A storage class with one volume that several nodes may mount; yields the cache of a spec and the folder of the volume."""
    name = f"shared-{team.namespace}"
    folder = bed.directory / "volumes" / name
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    provisioned_by_hand = {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
    bed.kubectl.apply(
        [
            {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}, **provisioned_by_hand},
            local_volume(name, folder, name),
        ]
    )
    yield {"type": "PersistentVolumeClaim", "size": "1Gi", "storageClassName": name, "accessMode": "ReadWriteMany"}, folder
    bed.kubectl.run("delete", "storageclass", name, "--ignore-not-found")


def old_copy(cache: Path, letter: str) -> Path:
    """Leave a copy with its seal in a cache, as of a revision that is there no more."""
    entry = cache / f"sha256-{letter * 64}"
    (entry / "nested").mkdir(parents=True)
    (entry / "nested" / "tiny.gguf").write_bytes(b"old")
    (cache / "seals").mkdir(exist_ok=True)
    (cache / "seals" / f"{letter * 64}.json").write_text("{}")
    for path in (cache / "seals", entry, *entry.rglob("*"), *(cache / "seals").iterdir()):
        os.chown(path, USER, USER)
    for path in (entry / "nested", entry):
        path.chmod(0o555)
    return entry


def replace_file(path: Path) -> None:
    """Put other bytes in the place of a file, as root of the node. Who has it open does not see them."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    path.chmod(0o444)


def restart_engine(team: Team, pod: Wire, count: int) -> None:
    """End the engine in its pod, and wait until it was started so many times again."""
    name = pod["metadata"]["name"]
    inside = ("exec", "--namespace", team.namespace, name, "--container=engine", "--")
    team.admin.try_run(*inside, "/opt/llamacpp/bin/python", "-c", "import os; os.kill(1, 15)")  # it may end with its container

    def started() -> bool:
        (status,) = team.admin.get("pod", name, "--namespace", team.namespace)["status"]["containerStatuses"]
        return status["restartCount"] >= count and "running" in status["state"]

    until(started, what=f"start {count} of the engine")


class TestSharedClaim:
    def test_one_job_fills_it_and_several_pods_read_it(
        self, team: Team, hub: HubServer, commits: tuple[str, str], engine: str, shared: tuple[Wire, Path]
    ) -> None:
        """With `unused: Delete` what no revision names goes, and what is used by one of which the Job cannot know stays.

        An engine that is restarted in its pod after the files were changed gets no more requests; the other pod serves on.
        """
        cache, folder = shared
        unused, used = old_copy(folder, "a"), old_copy(folder, "b")
        (folder / "seals" / f"{'b' * 64}.7").touch()
        asked = len(hub.admin.requests())
        serve_first(team, commits[0], engine, serving={"replicas": 2, "cache": cache | {"unused": "Delete"}})
        team.wait_ready(NAME, 2)
        assert hashes(team) == {EXPECTED[0]}
        downloads = [each for each in hub.admin.requests()[asked:] if each.method == "GET" and each.path.startswith("/cdn/")]
        assert len({each.path for each in downloads}) == len(downloads) == 1
        claim = team.admin.get("pvc", f"holdfast-weights-{NAME}", "--namespace", team.namespace)
        assert claim["status"]["accessModes"] == ["ReadWriteMany"]
        for pod in team.ready_pods(NAME):
            assert "podAffinity" not in pod["spec"]["affinity"]
            inside = ("exec", "--namespace", team.namespace, pod["metadata"]["name"], "--container=engine", "--")
            with pytest.raises(Exception, match="Read-only file system"):
                team.admin.run(*inside, "touch", "/holdfast/model/extra.py")
        until(lambda: not unused.exists(), what="the end of what no revision names")
        assert not (folder / "seals" / f"{'a' * 64}.json").exists()
        assert (used / "nested" / "tiny.gguf").read_bytes() == b"old"

        (model,) = folder.glob("sha256-*/tiny.gguf")
        replace_file(model)
        first, second = team.ready_pods(NAME)
        # The sidecar of a ready engine looks each five seconds, and the kubelet lets more pass each time.
        for count in range(1, 6):
            restart_engine(team, first, count)
            with contextlib.suppress(TimeoutError):
                until(lambda: team.condition(NAME, "Pinned")["status"] == "False", what="the condition Pinned=False", timeout=6.0)
                break
        found = team.condition(NAME, "Pinned")
        assert (found["status"], found["reason"]) == ("False", "WeightsMismatch")
        assert first["metadata"]["name"] in found["message"]
        assert "tiny.gguf" in found["message"]
        (ready,) = team.ready_pods(NAME)
        assert ready["metadata"]["uid"] == second["metadata"]["uid"], "what has read the right bytes serves on"


class TestImage:
    def test_it_serves_what_the_node_pulled_and_verified(self, team: Team, engine: str, modelcar: str) -> None:
        serve(team, engine, {"oci": {"reference": modelcar, **LISTED}}, "Image")
        assert hashes(team) == {EXPECTED[0]}
        assert team.status(NAME)["weights"][0]["kept"] == "Upstream"

    def test_a_model_pack_which_nodes_mount_empty_is_told_with_what_to_use_instead(
        self, bed: Testbed, team: Team, engine: str
    ) -> None:
        source = {"oci": {"reference": push_model_pack(bed.registry, "modelpack", {"tiny.gguf": WEIGHTS}), **LISTED}}
        model = team.model(commit="0" * 40, image=engine, source=source)
        team.apply(team.manifest(NAME, model, serving={"cache": {"type": "Image"}}))
        team.wait_phase(NAME, "AwaitingApproval")
        team.must("approve", NAME, "--yes", "--no-wait", "--reason", "first")
        found = until(
            lambda: c if (c := team.condition(NAME, "Pinned")).get("status") == "False" else None,
            what="the condition Pinned=False",
        )
        assert found["reason"] == "WeightsMismatch"
        assert "ModelPack" in found["message"]
        assert "PersistentVolumeClaim" in found["message"]
