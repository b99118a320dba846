"""The tamper table: on every way of bytes into a pod, every way in which they may be others. No byte of it is ever served.

Each cell is a real pod with the containers that Holdfast renders, in which what reads the model stands for the engine. The control
proves that each way can serve. What a whole ModelDeployment says of it is in `test_bytes` (fetched and resumed, caches, another node's
look, images), `test_caches` (volumes), `test_identity` (a pod that starts again) and `test_verify` (a pod that runs).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

import builders
from e2e import tampering
from e2e.quick_reads import QuickKubectl
from e2e.tampering import DIGEST, HASHES, NOTHING, ON_DISK, TREE
from holdfast.api.deployment import Serving
from holdfast.api.model import Model
from holdfast.api.revision import ModelRevisionSpec, Render, ResolvedHuggingFace, ResolvedOci, ResolvedSource, ResolvedVolume
from holdfast.domain.artifacts import artifacts_bytes, artifacts_digest
from holdfast.domain.pin import declared_digest, pin_digest
from holdfast.render.version1 import weights
from stage.wait import until
from testbed import Testbed, images
from testbed.hub import Drop, HubServer, Stall

pytestmark = pytest.mark.tamper

Object = dict[str, Any]
FRESH, RESUMED, HIT, RESTART = "fresh fetch", "resumed fetch", "cache hit", "restart"
OTHER_NODE, VOLUME, OCI = "second node", "pre-filled volume", "OCI volume"
WAYS: Final = (FRESH, RESUMED, HIT, RESTART, OTHER_NODE, VOLUME, OCI)
REPAIRED: Final = frozenset({RESUMED, RESTART})
"""Ways on which the right bytes are fetched instead."""
NAMED: Final = {
    "flip": (tampering.SECOND,),
    "truncate": (tampering.SECOND,),
    "extra": (tampering.EXTRA,),
    "missing": (tampering.SECOND,),
    "swap": (tampering.FIRST, tampering.SECOND),
    "other bytes": (tampering.SECOND,),
    "symlink": (tampering.SECOND,),
    "older": ("config.json", tampering.FIRST, tampering.SECOND, tampering.VOLUME_LIST),
}
"""What a message must name: one of these files."""
NAMESPACE: Final = "tamper"
REPOSITORY: Final = "holdfast/tampered"
USER: Final = 65532
_OVER: Final = ("Succeeded", "Failed")
_PART_BYTES: Final = 100_000
_SEVERAL: Final = """
import json, sys
from holdfast.weights.main import main
sys.exit(max(main(each) for each in json.loads(sys.argv[1])))
"""
_READER: Final = """
import hashlib, json, pathlib
root = pathlib.Path("/holdfast/model")
paths = [path for path in root.rglob("*") if not path.is_dir() and path.name != "holdfast-manifest.json"]
found = {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
pathlib.Path("/dev/termination-log").write_text(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one pod: what the weights container said, and what the engine's container read, if it was ever started."""

    reason: str
    message: str
    served: dict[str, str] | None


class Ground:
    """Makes and runs the pods of the table."""

    def __init__(self, bed: Testbed, admin: QuickKubectl, hub: HubServer, image: str, folder: Path) -> None:
        self._bed = bed
        self._admin = admin
        self._hub = hub
        self._image = image
        self._folder = folder
        self._pods: dict[str, dict[str, str]] = {}
        self._outcomes: dict[str, dict[str, Outcome]] = {}
        self._commits: dict[str, str] = {}
        self._key = folder / "key"
        self._key.mkdir(parents=True)
        (self._key / "key").write_bytes(os.urandom(32))
        tampering.own(self._key, USER)

    def outcome(self, way: str, how: str) -> Outcome:
        """Return what came of a cell; all pods of the table run at once, the first time that one is asked for."""
        if not self._pods:
            self._begin()
        if way not in self._outcomes:
            pods = self._pods[way]
            statuses = self._wait(set(pods.values()))
            self._outcomes[way] = {each: self._outcome(name, statuses[name]) for each, name in pods.items()}
        return self._outcomes[way][how]

    def _begin(self) -> None:
        """Make all pods. Those of one way start while the next one is prepared."""
        self._interrupted()  # with faults of the Hub, which no pod may meet
        for way in WAYS:
            pods = self._pods[way] = {each: f"{way}-{each}".replace(" ", "-").lower() for each in (NOTHING, *ON_DISK)}
            folders = {each: self._folder / name / "volume" for each, name in pods.items()}
            for folder in folders.values():
                folder.parent.mkdir()
            if way == HIT:
                self._fetch([*folders.values()], self._hub_source(NOTHING))
            self._bed.kubectl.create([made for each, name in pods.items() for made in self._cell(way, each, name, folders[each])])

    def _wait(self, names: set[str]) -> dict[str, Object]:
        def ended() -> dict[str, Object] | None:
            found = self._admin.get("pods", "--namespace", NAMESPACE)["items"]
            over = {pod["metadata"]["name"]: pod["status"] for pod in found if pod["status"].get("phase") in _OVER}
            return over if names <= over.keys() else None

        return until(ended, what=f"the end of the pods {sorted(names)}", timeout=300.0, pause=0.5)

    @staticmethod
    def _outcome(name: str, status: Object) -> Outcome:
        said = json.loads(status["initContainerStatuses"][0]["state"]["terminated"]["message"])
        engine = status["containerStatuses"][0]
        ran = engine["state"].get("terminated", {})
        started = ran.get("startedAt") is not None and ran.get("exitCode") == 0
        assert started or status["phase"] == "Failed", f"{name}: {status}"
        served = json.loads(ran["message"]) if started else None
        return Outcome(said["reason"], said["message"], served)

    # what is prepared

    def _cell(self, way: str, how: str, name: str, folder: Path) -> list[Object]:
        source, cache = self._hub_source(how if way == FRESH else NOTHING), "EmptyDir"
        entry = folder / DIGEST.replace(":", "-")
        if way == FRESH:
            folder.mkdir()
        elif way == RESUMED:
            tampering.copy(self._interrupted(), folder)
            (entry,) = folder.glob(".incoming-*/files")
        elif way in (HIT, RESTART, OTHER_NODE):
            cache = "EmptyDir" if way == RESTART else "PersistentVolumeClaim"
            if way != HIT:
                tampering.copy(self._filled(), folder)
        elif way == VOLUME:
            cache, entry = "Volume", folder
            source = ResolvedSource(volume=ResolvedVolume(claim_name="own"), manifest_digest=DIGEST)
            tampering.write(folder, TREE, listed=True)
        elif way == OCI:
            cache, entry = "Image", folder / "models"
            tampering.write(entry, TREE)
        if how != NOTHING and way != FRESH:
            entry.chmod(0o755)
            ON_DISK[how](entry)
        if way == OCI:
            source = self._artifact(folder, name)
        # A change of the owner of what is sealed would break the seal by itself.
        tampering.own(folder / "seals" if way == HIT else folder, USER)
        return self._pod(name, source, cache, folder)

    def _hub_source(self, how: str) -> ResolvedSource:
        """Return the approved list of files, from a commit that has what `how` makes of them."""
        if how not in self._commits:
            self._commits[how] = self._hub.admin.commit(REPOSITORY, tampering.tampered(how), title=how)
        origin = ResolvedHuggingFace(endpoint=self._hub.url, repository=REPOSITORY, commit=self._commits[how])
        return ResolvedSource(hugging_face=origin, manifest_digest=DIGEST, files=tampering.files(TREE))

    def _artifact(self, folder: Path, name: str) -> ResolvedSource:
        """Push a folder as an image of one layer, and return the approved list of files with its digest."""
        reference = tampering.modelcar(self._bed, folder, f"tamper/{name}")
        return ResolvedSource(oci=ResolvedOci(reference=reference), manifest_digest=DIGEST, files=tampering.files(TREE))

    # the program, on the node but in no pod: to have a cache with a seal of this boot

    def _filled(self) -> Path:
        """Return a cache with the right bytes."""
        folder = self._folder / "filled" / "volume"
        if not folder.exists():
            folder.parent.mkdir()
            self._fetch([folder], self._hub_source(NOTHING))
        return folder

    def _interrupted(self) -> Path:
        """Return a cache in which a fetch was killed in the middle of both shards."""
        folder = self._folder / "interrupted" / "volume"
        if folder.exists():
            return folder
        folder.mkdir(parents=True)
        faults = (Drop(match="/cdn/", times=2, after_bytes=_PART_BYTES), Stall(match="/cdn/", skip=2, times=None))
        added = [self._hub.admin.add_fault(fault) for fault in faults]
        try:
            process = self._program([self._verb("fetch", folder, self._hub_source(NOTHING))])
            until(lambda: [path.stat().st_size for path in _parts(folder)] == [_PART_BYTES] * 2, what="parts of the shards")
            process.kill()
            process.communicate()
        finally:
            for fault in added:
                self._hub.admin.remove_fault(fault)
        return folder

    def _fetch(self, folders: list[Path], source: ResolvedSource) -> None:
        """Fill caches, and look at each once, so that its seal names this boot."""
        for folder in folders:
            folder.mkdir()
        steps = [self._verb(verb, folder, source) for folder in folders for verb in ("fetch", "verify")]
        process = self._program(steps)
        said, _ = process.communicate()
        assert process.returncode == 0, said

    def _program(self, runs: list[list[str]]) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _SEVERAL, json.dumps(runs)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def _verb(self, verb: str, folder: Path, source: ResolvedSource) -> list[str]:
        model = self._revision(source).model
        listed = folder.parent / "artifacts.json"
        listed.write_bytes(artifacts_bytes(model))
        where = [f"--directory={folder}", f"--seal-key-file={self._key / 'key'}"]
        return [verb, f"--artifacts={listed}", f"--artifacts-digest={artifacts_digest(model)}", *where]

    # the pod

    def _revision(self, source: ResolvedSource) -> ModelRevisionSpec:
        declared = Model.parse(builders.model())
        model = builders.resolved(declared).model_copy(update={"source": source})
        return ModelRevisionSpec(
            deployment=builders.NAME,
            number=1,
            digest=pin_digest(model),
            declared=declared_digest(declared),
            model=model,
            render=Render(version=1, weights_image=self._image),
        )

    def _pod(self, name: str, source: ResolvedSource, cache: str, folder: Path) -> list[Object]:
        revision = self._revision(source)
        size = {"size": "1Gi"} if cache == "PersistentVolumeClaim" else {}
        serving = Serving.parse({"cache": {"type": cache} | size})
        (verifier,) = weights.verifiers(revision, serving)
        engine = {
            **verifier,
            "name": "engine",
            "command": ["python3", "-c", _READER],
            "args": [],
            "volumeMounts": weights.engine_mounts(revision.model, serving),
        }
        there: dict[str, Object] = {
            "weights": _host(folder),
            "claim-model": _host(folder),
            "seal": _host(self._key),
            "revision": {"configMap": {"name": name}},
        }
        rendered = [weights.revision_volume("x", 1), *weights.engine_volumes("x", revision, serving)]
        volumes = [{"name": each["name"], **there[each["name"]]} if each["name"] in there else each for each in rendered]
        metadata = {"name": name, "namespace": NAMESPACE}
        return [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata,
                "data": {"artifacts.json": artifacts_bytes(revision.model).decode()},
            },
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": metadata,
                "spec": {
                    "initContainers": [verifier],
                    "containers": [engine],
                    "volumes": [*volumes, {"name": "temporary", "emptyDir": {}}],
                    "restartPolicy": "Never",
                    "securityContext": {"runAsUser": USER, "runAsGroup": USER},
                    "automountServiceAccountToken": False,
                },
            },
        ]


def _host(folder: Path) -> Object:
    return {"hostPath": {"path": str(folder), "type": "Directory"}}


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob(".incoming-*/files/*.bin"))


@pytest.fixture(scope="module")
def ground(bed: Testbed, admin: QuickKubectl, hub: HubServer) -> Iterator[Ground]:
    """A namespace, a repository and folders of the node for the table."""
    bed.kubectl.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    hub.admin.create_repo(REPOSITORY)
    yield Ground(bed, admin, hub, images.ensure(bed, "holdfast"), bed.directory / "tamper")
    bed.kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.parametrize("way", WAYS)
def test_the_right_bytes_serve(ground: Ground, way: str) -> None:
    found = ground.outcome(way, NOTHING)
    assert (found.reason, found.served) == ("Verified", HASHES), found
    if way == HIT:
        assert "by the seal" in found.message, "the cache was not trusted, so nothing is shown about trust"


@pytest.mark.parametrize("how", ON_DISK)
@pytest.mark.parametrize("way", WAYS)
def test_no_other_byte_is_ever_served(ground: Ground, way: str, how: str) -> None:
    found = ground.outcome(way, how)
    assert found.served in (None, HASHES), f"an engine was given other bytes: {found}"
    if way in REPAIRED:
        assert found.served == HASHES, found
    elif (way, how) != (FRESH, "extra"):  # nobody asks for it there
        assert found.served is None, found
        expected = "WeightsUnavailable" if (way, how) == (FRESH, "missing") else "WeightsMismatch"
        assert found.reason == expected, found
    if found.served is None or way == RESTART:
        assert any(name in found.message for name in NAMED[how]), found
