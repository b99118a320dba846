"""The same bytes everywhere: restart, node-local cache, scale-up, and what happens when other bytes come."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.story import NAME, declare, no_failures, only, serve_first
from stage.team import Team, Wire
from stage.wait import until
from testbed import Testbed
from testbed.hub import HubServer, OtherBytes, Truncate
from testbed.models import tiny_gguf

REPOSITORY = "holdfast/tiny-chat-GGUF"
EXPECTED = {seed: hashlib.sha256(tiny_gguf(seed)["tiny.gguf"]).hexdigest() for seed in (0, 1)}


def hashes(team: Team, *, but: str = "") -> set[str]:
    """Hash the model inside each ready pod, but for one."""
    found = set()
    for pod in team.ready_pods(NAME):
        if pod["metadata"]["name"] == but:
            continue
        output = team.admin.run(
            "exec", "--namespace", team.namespace, pod["metadata"]["name"], "--container=engine",
            "--", "sha256sum", "/holdfast/model/tiny.gguf",
        )  # fmt: skip
        found.add(output.split()[0])
    return found


@pytest.fixture
def node_cache(bed: Testbed, team: Team, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Wire, Path]]:
    """A storage class whose volumes are folders of the node; yields the cache of a spec and the folder of the volume."""
    name = f"local-{team.namespace}"
    folder = bed.directory / "volumes" / name
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    bed.kubectl.apply(
        [
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": name},
                "provisioner": "kubernetes.io/no-provisioner",
                "volumeBindingMode": "WaitForFirstConsumer",
            },
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": name},
                "spec": {
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "storageClassName": name,
                    "local": {"path": str(folder)},
                    "nodeAffinity": {
                        "required": {
                            "nodeSelectorTerms": [
                                {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}
                            ]
                        }
                    },
                },
            },
        ]
    )
    yield {"type": "PersistentVolumeClaim", "size": "1Gi", "storageClassName": name, "accessMode": "ReadWriteOnce"}, folder
    bed.kubectl.run("delete", "storageclass", name, "--ignore-not-found")


class TestSameBytes:
    def test_after_a_restart_a_scale_up_and_a_moved_upstream(
        self, team: Team, hub: HubServer, commits: tuple[str, str], engine: str
    ) -> None:
        serve_first(team, commits[0], engine)
        assert hashes(team) == {EXPECTED[0]}
        moved = hub.admin.commit(REPOSITORY, tiny_gguf(1) | {"NOTES.md": b"moved on"}, title="Move main")
        assert moved not in commits
        with team.traffic(NAME) as traffic:
            victim = team.ready_pods(NAME)[0]["metadata"]["name"]
            declare(team, commits[0], engine, serving={"replicas": 2})
            team.wait_ready(NAME, 2)
            assert hashes(team) == {EXPECTED[0]}
            team.admin.run("delete", "pod", victim, "--namespace", team.namespace, "--wait=false")
            team.wait_ready(NAME, 2)
            assert hashes(team) == {EXPECTED[0]}
            only(traffic, "1")
        no_failures(traffic)

    def test_from_the_node_s_cache_without_asking_the_hub(
        self, team: Team, hub: HubServer, commits: tuple[str, str], engine: str, node_cache: tuple[Wire, Path]
    ) -> None:
        cache, _ = node_cache
        serve_first(team, commits[0], engine, serving={"cache": cache})
        served = len(hub.admin.requests())
        declare(team, commits[0], engine, serving={"replicas": 2, "cache": cache})
        team.wait_ready(NAME, 2)
        assert hashes(team) == {EXPECTED[0]}
        downloads = [r for r in hub.admin.requests()[served:] if "tiny.gguf" in r.path and r.method == "GET"]
        assert downloads == []


class TestOtherBytes:
    """Nothing that was not approved reaches an engine; what serves goes on."""

    @pytest.mark.parametrize("fault", [OtherBytes, Truncate], ids=["same length, other bytes", "truncated"])
    def test_from_the_hub(self, team: Team, hub: HubServer, commits: tuple[str, str], engine: str, fault: type) -> None:
        serve_first(team, commits[0], engine)
        with team.traffic(NAME) as traffic:
            declare(team, commits[1], engine)
            team.wait_request(NAME, above=1)
            broken = hub.admin.add_fault(fault(match="/cdn/", times=None))
            try:
                team.must("approve", NAME, "--yes", "--reason", "second")
                found = until(
                    lambda: c if (c := team.condition(NAME, "Pinned")).get("status") == "False" else None,
                    what="the condition Pinned=False",
                )
                assert "tiny.gguf" in found["message"]
                assert team.ready_pods(NAME, 2) == []
                only(traffic, "1")
                team.must("abort", NAME, "--yes", "--reason", "broken")
                team.wait_phase(NAME, "Aborted")
            finally:
                hub.admin.remove_fault(broken)
        no_failures(traffic)

    def test_in_the_node_s_cache(
        self, team: Team, commits: tuple[str, str], engine: str, node_cache: tuple[Wire, Path], hub: HubServer
    ) -> None:
        """With one kind of change; `test_tamper` has all of them."""
        cache, folder = node_cache
        serve_first(team, commits[0], engine, serving={"cache": cache})
        with team.traffic(NAME) as traffic:
            first = team.ready_pods(NAME)[0]["metadata"]["name"]
            model = next(folder.glob("**/tiny.gguf"))
            self._change(model)
            gone = hub.admin.add_fault(OtherBytes(match="/cdn/", times=None))  # nothing good can be fetched instead
            try:
                declare(team, commits[0], engine, serving={"replicas": 2, "cache": cache})
                found = until(
                    lambda: c if (c := team.condition(NAME, "Pinned")).get("status") == "False" else None,
                    what="the condition Pinned=False",
                )
                assert "tiny.gguf" in found["message"]
                assert len(team.ready_pods(NAME)) == 1
                only(traffic, "1")
            finally:
                hub.admin.remove_fault(gone)
            team.wait_ready(NAME, 2)
            assert hashes(team, but=first) == {EXPECTED[0]}
        no_failures(traffic)

    @staticmethod
    def _change(model: Path) -> None:
        """Change the cache as root of the node could. The engine that runs keeps its open file: the name gets other content."""
        content = bytearray(model.read_bytes())
        content[len(content) // 2] ^= 1
        model.parent.chmod(0o755)
        model.unlink()
        model.write_bytes(content)
