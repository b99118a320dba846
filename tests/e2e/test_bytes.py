"""The same bytes everywhere: restart, node-local cache, scale-up, and what happens when other bytes come."""

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.node import flip, kill, volume
from e2e.story import NAME, QUICK, declare, no_failures, only, reach, serve_first
from e2e.tampering import modelcar
from holdfast.api import names
from holdfast.api.manifest import manifest_digest
from holdfast.api.model import File
from holdfast.weights.seals import Seals
from stage.team import Team, Wire
from stage.wait import until
from testbed import Testbed
from testbed.hub import AnyFault, HubServer, OtherBytes, Slow, Truncate
from testbed.models import tiny_gguf

REPOSITORY = "holdfast/tiny-chat-GGUF"
EXPECTED = {seed: hashlib.sha256(tiny_gguf(seed)["tiny.gguf"]).hexdigest() for seed in (0, 1)}


PART_BYTES = 60_000
Change = Callable[[Team, Path], None]


def hashes(team: Team, *, but: str = "", revision: int | None = None) -> set[str]:
    """Hash the model inside each ready pod, but for one."""
    found = set()
    for pod in team.ready_pods(NAME, revision):
        if pod["metadata"]["name"] == but:
            continue
        output = team.admin.run(
            "exec", "--namespace", team.namespace, pod["metadata"]["name"], "--container=engine",
            "--", "sha256sum", "/holdfast/model/tiny.gguf",
        )  # fmt: skip
        found.add(output.split()[0])
    return found


@contextlib.contextmanager
def hub_that(hub: HubServer, *faults: AnyFault) -> Iterator[None]:
    """Have the Hub misbehave for the length of a block."""
    added = [hub.admin.add_fault(fault) for fault in faults]
    try:
        yield
    finally:
        for fault in added:
            hub.admin.remove_fault(fault)


def refused(team: Team, file: str, *, unlike: str = "") -> str:
    """Wait until the condition says that this file is not what was approved, in other words than before; return the words."""

    def told() -> str:
        found = team.condition(NAME, "Pinned")
        said = (found.get("status"), found.get("reason")) == ("False", "WeightsMismatch")
        return str(found["message"]) if said and file in found["message"] and found["message"] != unlike else ""

    return until(told, what=f"the condition Pinned=False with {file}")


def replace_pod(team: Team, revision: int) -> Wire:
    """Delete the only pod of a revision; return the next one."""
    (old,) = team.pods(NAME, revision)
    team.admin.run("delete", "pod", old["metadata"]["name"], "--namespace", team.namespace, "--grace-period=1", "--wait=false")
    (new,) = until(
        lambda: [pod for pod in team.pods(NAME, revision) if pod["metadata"]["uid"] != old["metadata"]["uid"]],
        what=f"another pod of revision {revision}",
    )
    return new


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


class TestOtherBytes:
    """Nothing that was not approved reaches an engine, whatever way it comes; what serves goes on."""

    def test_from_the_hub_while_a_candidate_fetches(
        self, bed: Testbed, team: Team, hub: HubServer, commits: tuple[str, str], engine: str
    ) -> None:
        """Other bytes of the same length, too few, and a fetch that was cut off whose part changed before it is gone on with."""
        serve_first(team, commits[0], engine)
        with team.traffic(NAME) as traffic:
            declare(team, commits[1], engine)
            team.wait_request(NAME, above=1)
            with hub_that(hub, OtherBytes(match="/cdn/", times=None)):
                team.must("approve", NAME, "--yes", "--no-wait", "--reason", "second")
                other = refused(team, "tiny.gguf")
            assert team.ready_pods(NAME, 2) == []
            with hub_that(hub, Truncate(match="/cdn/", times=None)):
                replace_pod(team, 2)
                too_few = refused(team, "tiny.gguf", unlike=other)
            with hub_that(
                hub, Slow(match="/cdn/", times=None, bytes_per_second=15_000)
            ):  # the pod that goes may still ask as well
                pod = replace_pod(team, 2)
                part = until(lambda: _part(bed, pod), what="a part of the model")
                assert reach(team, pod, "weights", hub.url) == "reached"
            flip(part, offset=1000)
            with hub_that(hub, OtherBytes(match="/cdn/", times=None)):
                kill(pod, "holdfast-weights")
                refused(team, "tiny.gguf", unlike=too_few)
            assert {each["metadata"]["uid"] for each in team.pods(NAME, 2)} == {pod["metadata"]["uid"]}
            only(traffic, "1")
            (ready,) = team.wait_ready(NAME, 1, 2)
            assert hashes(team, revision=2) == {EXPECTED[1]}
            assert reach(team, ready, "engine", hub.url) == "TimeoutError"
            until(lambda: team.condition(NAME, "Pinned").get("status") == "True", what="Pinned")
        no_failures(traffic)

    def test_in_the_node_s_cache(
        self, bed: Testbed, team: Team, commits: tuple[str, str], engine: str, node_cache: tuple[Wire, Path], hub: HubServer
    ) -> None:
        """For a pod that is added without asking the Hub, for pods that start again, and on a node that never looked at the cache.

        Each change is of one kind; `test_tamper` has all of them.
        """
        cache, folder = node_cache
        serve_first(team, commits[0], engine, serving={"cache": cache})
        served = len(hub.admin.requests())
        with team.traffic(NAME) as traffic:
            declare(team, commits[0], engine, serving={"replicas": 2, "cache": cache})
            team.wait_ready(NAME, 2)
            assert hashes(team) == {EXPECTED[0]}
            downloads = [r for r in hub.admin.requests()[served:] if "tiny.gguf" in r.path and r.method == "GET"]
            assert downloads == []
            (entry,) = folder.glob("sha256-*")
            entry.chmod(0o755)
            lie = OtherBytes(match="/cdn/", times=None)
            changes: tuple[tuple[Change, str, tuple[AnyFault, ...]], ...] = (
                (_other_bytes, "tiny.gguf", (lie,)),  # nothing good can be fetched instead, for as long as the Hub lies
                (_extra_file, "extra.py", ()),
                (_other_bytes_of_another_node, "tiny.gguf", ()),
            )
            for change, named, faults in changes:
                victim, survivor = sorted(team.ready_pods(NAME), key=lambda pod: pod["metadata"]["name"])
                change(team, entry)
                with hub_that(hub, *faults):
                    team.admin.run("delete", "pod", victim["metadata"]["name"], "--namespace", team.namespace, "--wait=false")
                    refused(team, named)
                    assert [pod["metadata"]["uid"] for pod in team.ready_pods(NAME)] == [survivor["metadata"]["uid"]]
                    only(traffic, "1")
                team.wait_ready(NAME, 2)
                until(lambda: team.condition(NAME, "Pinned").get("status") == "True", what="Pinned")
                assert hashes(team, but=survivor["metadata"]["name"]) == {EXPECTED[0]}
        no_failures(traffic)

    def test_behind_the_digest_of_an_image(self, bed: Testbed, team: Team, engine: str, tmp_path: Path) -> None:
        """The digest is the approved one, and what is in the image is not what the approved list says."""
        right = tiny_gguf(0)["tiny.gguf"]
        wrong = bytearray(right)
        wrong[len(wrong) // 2] ^= 1
        files = [File(path="tiny.gguf", size=len(right), sha256=EXPECTED[0])]
        listed = {"files": [file.wire() for file in files], "manifestDigest": manifest_digest(files)}

        def propose(content: bytes, name: str) -> None:
            (tmp_path / name / "models").mkdir(parents=True)
            (tmp_path / name / "models" / "tiny.gguf").write_bytes(content)
            source = {"oci": {"reference": modelcar(bed, tmp_path / name, f"{team.namespace}/{name}"), **listed}}
            model = team.model(commit="0" * 40, image=engine, source=source)
            outcome = team.apply(team.manifest(NAME, model, serving={"cache": {"type": "Image"}}, rollout=QUICK))
            assert outcome.code == 0, outcome.output

        propose(right, "right")
        team.wait_phase(NAME, "AwaitingApproval")
        team.must("approve", NAME, "--yes", "--reason", "first")
        team.wait_phase(NAME, "Stable")
        assert hashes(team) == {EXPECTED[0]}
        with team.traffic(NAME) as traffic:
            propose(bytes(wrong), "wrong")
            team.wait_request(NAME, above=1)
            team.must("approve", NAME, "--yes", "--no-wait", "--reason", "second")
            refused(team, "tiny.gguf")
            assert team.ready_pods(NAME, 2) == []
            only(traffic, "1")
        no_failures(traffic)


def _part(bed: Testbed, pod: Wire) -> Path | None:
    """Return what a fetch has of the model so far, once that is something."""
    found = volume(bed, pod, "weights").glob(".incoming-*/files/tiny.gguf")
    return next((path for path in found if path.stat().st_size >= PART_BYTES), None)


def _other_bytes(team: Team, entry: Path) -> None:
    """Put another file in its place. An engine that runs keeps its open file: the name gets other content."""
    del team
    content = bytearray((entry / "tiny.gguf").read_bytes())
    content[len(content) // 2] ^= 1
    (entry / "tiny.gguf").unlink()
    (entry / "tiny.gguf").write_bytes(content)


def _extra_file(team: Team, entry: Path) -> None:
    del team
    entry.chmod(0o755)
    (entry / "extra.py").write_text("print('hello')")


def _other_bytes_of_another_node(team: Team, entry: Path) -> None:
    """Change bytes behind the kernel: the seal is genuine, all times are as sealed, and only another node's boot vouches for them.

    A second kubelet on this machine would not do: it has the same kernel, and so the same boot.
    """
    secret = team.admin.get("secret", names.SEAL_SECRET, "--namespace", team.namespace)
    seals = Seals(entry.parent / "seals", base64.b64decode(secret["data"][names.SEAL_KEY]))
    before = seals.read(entry.name.replace("-", ":", 1))
    assert before is not None
    assert before.boot_ids
    entry.chmod(0o755)
    _other_bytes(team, entry)
    status = (entry / "tiny.gguf").stat()
    (file,) = before.files
    same = replace(file, inode=status.st_ino, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns)
    seals.write(replace(before, files=(same,), boot_ids=("of another node",)))
