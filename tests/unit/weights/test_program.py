"""``holdfast-weights`` as pods run it: several artifacts, volumes, image volumes, waiting for a Job, seals."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast.api.manifest import manifest_bytes, manifest_digest
from testbed.hub import HubServer
from unit.weights.conftest import CONTENT, REPOSITORY, Json, Outcome, Pod, approved, artifact
from unit.weights.damage import DAMAGE, Damage, other_byte

TOKENIZER = {"tokenizer.json": b'{"version": "2.0"}'}
VOLUME: Json = {"volume": {"claimName": "models"}}


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key").write_bytes(b"k" * 32)
    return f"--seal-key-file={tmp_path / 'key'}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An owner's own volume."""
    made = tmp_path / "volume"
    for path, data in CONTENT.items():
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_bytes(data)
    return made


def entry(pod: Pod, content: dict[str, bytes]) -> Path:
    return pod.cache / manifest_digest(approved(content)).replace(":", "-")


def test_every_artifact_gets_its_entry(pod: Pod, hub: HubServer) -> None:
    hub.admin.create_repo("lab/tokenizer")
    commit = hub.admin.commit("lab/tokenizer", dict(TOKENIZER))
    source = {"huggingFace": {"endpoint": hub.url, "repository": "lab/tokenizer", "commit": commit}}
    pod.list_artifacts(artifact(CONTENT, pod.source), artifact(TOKENIZER, source, name="tokenizer"))
    outcome = pod.fetch()
    assert outcome.status == 0
    assert pod.served() == CONTENT
    assert (entry(pod, TOKENIZER) / "tokenizer.json").read_bytes() == TOKENIZER["tokenizer.json"]
    assert "model: fetched" in outcome.message
    assert "tokenizer: fetched" in outcome.message


def test_the_same_files_under_two_names_are_fetched_once(pod: Pod, hub: HubServer) -> None:
    pod.list_artifacts(artifact(CONTENT, pod.source), artifact(CONTENT, pod.source, name="tokenizer"))
    assert pod.fetch().status == 0
    assert len(hub.admin.requests("GET /cdn/")) == 1


def test_an_owners_volume_has_no_entry(pod: Pod) -> None:
    pod.list_artifacts(artifact(CONTENT, pod.source), artifact(TOKENIZER, VOLUME, name="tokenizer"))
    assert pod.fetch().status == 0
    assert pod.verify().status == 0
    assert not entry(pod, TOKENIZER).exists()


def test_only_some_artifacts_can_be_chosen(pod: Pod) -> None:
    gone = {"oci": {"reference": "registry.invalid/model@sha256:" + "0" * 64}}
    pod.list_artifacts(artifact(CONTENT, pod.source), artifact(TOKENIZER, gone, name="tokenizer"))
    assert pod.fetch("--only=model").status == 0
    assert pod.verify("--only=model").status == 0
    assert pod.verify("--only=model", "--only=tokenizer").status == 4


def test_a_name_that_is_not_there_is_said_to_be(pod: Pod) -> None:
    outcome = pod.fetch("--only=draft")
    assert outcome.status == 3
    assert "no artifact named 'draft'" in outcome.message


def test_a_folder_is_verified_without_a_caches_layout(pod: Pod, folder: Path) -> None:
    pod.list_artifacts(artifact(CONTENT, VOLUME))
    assert pod.verify("--only=model", f"--folder={folder}").status == 0


@pytest.mark.parametrize(("damage", "names"), DAMAGE.values(), ids=DAMAGE)
def test_each_difference_of_a_folder_is_named(pod: Pod, folder: Path, damage: Damage, names: str) -> None:
    pod.list_artifacts(artifact(CONTENT, VOLUME))
    damage(folder)
    outcome = pod.verify("--only=model", f"--folder={folder}")
    assert (outcome.status, outcome.termination["reason"]) == (3, "WeightsMismatch")
    assert names.replace("sha256-", "volume") in outcome.message


def test_an_image_without_the_folder_is_told_with_what_to_use_instead(pod: Pod, folder: Path) -> None:
    """A node mounts a ModelPack or ModelKit as an empty folder."""
    pod.list_artifacts(artifact(CONTENT, {"oci": {"reference": f"registry.example/chat@sha256:{'a' * 64}"}}))
    outcome = pod.verify("--only=model", f"--folder={folder / 'models'}")
    assert (outcome.status, outcome.termination["reason"]) == (3, "WeightsMismatch")
    for word in ("/models", "ModelPack", "ModelKit", "PersistentVolumeClaim", "EmptyDir"):
        assert word in outcome.message


def own_list(pod: Pod, folder: Path) -> None:
    """Let the volume carry its list."""
    (folder / "holdfast-manifest.json").write_bytes(manifest_bytes(approved(CONTENT)))
    pod.list_artifacts({"name": "model", "manifestDigest": pod.digest, "source": VOLUME})


def test_a_volume_may_carry_its_own_list(pod: Pod, folder: Path) -> None:
    own_list(pod, folder)
    assert pod.verify("--only=model", f"--folder={folder}").status == 0


def test_a_volumes_list_is_itself_verified(pod: Pod, folder: Path) -> None:
    own_list(pod, folder)
    (folder / "config.json").write_bytes(b"{}")
    changed = manifest_bytes(approved(CONTENT | {"config.json": b"{}"}))
    (folder / "holdfast-manifest.json").write_bytes(changed)
    outcome = pod.verify("--only=model", f"--folder={folder}")
    assert outcome.status == 3
    assert "not the approved one" in outcome.message


def test_a_list_cannot_name_itself(pod: Pod, folder: Path) -> None:
    itself = {"holdfast-manifest.json": b"[]"}
    pod.list_artifacts(artifact(CONTENT | itself, VOLUME))
    (folder / "holdfast-manifest.json").write_bytes(itself["holdfast-manifest.json"])
    outcome = pod.verify("--only=model", f"--folder={folder}")
    assert outcome.status == 3
    assert "which is the list itself" in outcome.message


def test_a_volume_without_a_list_is_said_to_have_none(pod: Pod, folder: Path) -> None:
    own_list(pod, folder)
    (folder / "holdfast-manifest.json").unlink()
    outcome = pod.verify("--only=model", f"--folder={folder}")
    assert outcome.status == 4
    assert "holdfast-manifest.json" in outcome.message


def test_the_files_of_a_folder_have_to_be_named(pod: Pod, folder: Path) -> None:
    assert wrong_usage(pod, f"--folder={folder}")
    assert wrong_usage(pod, f"--folder={folder}", "--only=model", "--only=draft")


def wrong_usage(pod: Pod, *options: str) -> bool:
    command = pod.command("verify", *options)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 2 and "--only" in done.stderr


def test_names_that_are_not_utf8_are_refused(pod: Pod, folder: Path) -> None:
    pod.list_artifacts(artifact(CONTENT, VOLUME))
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff.py"))).write_bytes(b"")
    outcome = pod.verify("--only=model", f"--folder={folder}")
    assert outcome.status == 3
    assert "'\\udcff.py': not in the approved list" in outcome.message


def test_names_that_differ_by_case_are_refused(pod: Pod, folder: Path) -> None:
    pod.list_artifacts(artifact(CONTENT, VOLUME))
    shutil.copy(folder / "config.json", folder / "CONFIG.json")
    assert pod.verify("--only=model", f"--folder={folder}").status == 3


def test_waiting_ends_when_the_job_has_published(pod: Pod) -> None:
    waiting = pod.start("--wait=60", verb="verify")
    time.sleep(0.2)
    job = Pod(folder=pod.folder / "job", endpoint=pod.endpoint, commit=pod.commit)
    job.cache = pod.cache
    assert job.fetch().status == 0
    assert pod.finish(waiting).status == 0


def test_waiting_ends_with_its_time(pod: Pod) -> None:
    outcome = pod.verify("--wait=0.3")
    assert (outcome.status, outcome.termination["reason"]) == (4, "WeightsUnavailable")
    assert "the Job that fetches it says why" in outcome.message


def how(outcome: Outcome) -> str:
    assert outcome.status == 0
    return outcome.message.rpartition(" bytes ")[2]


def test_what_was_fetched_is_read_once_and_then_trusted(pod: Pod, key: str) -> None:
    assert pod.fetch(key).status == 0
    assert how(pod.verify(key)).startswith("by blake3")
    assert how(pod.verify(key)) == "by the seal"


def test_a_pod_that_starts_again_trusts_the_seal(pod: Pod, key: str) -> None:
    for _ in range(2):
        assert pod.fetch(key).status == 0
    assert "in the cache by the seal" in pod.fetch(key).message


def test_seals_may_be_elsewhere_when_the_cache_cannot_be_written(pod: Pod, key: str, tmp_path: Path) -> None:
    assert pod.fetch().status == 0
    seals = f"--seals={tmp_path / 'seals'}"
    assert how(pod.verify(key, seals)) == "by sha256"
    assert how(pod.verify(key, seals)) == "by the seal"
    assert not (pod.cache / "seals").exists()


def test_sealing_makes_a_volume_that_was_filled_in_advance_quick(pod: Pod, key: str) -> None:
    assert pod.fetch().status == 0
    assert pod.finish(pod.start(key, verb="seal")).status == 0
    assert how(pod.verify(key)) == "by the seal"


def test_sealing_refuses_what_is_wrong(pod: Pod, key: str) -> None:
    pod.fetch()
    other_byte(pod.entry)
    assert pod.finish(pod.start(key, verb="seal")).status == 3
    assert not (pod.cache / "seals").exists()


def test_sealing_needs_a_key(pod: Pod) -> None:
    pod.fetch()
    assert pod.finish(pod.start("--seal-key-file=/nowhere", verb="seal")).status == 4


@pytest.mark.parametrize("level", ["Always", "OnNode", "OnFetch"])
def test_a_sealed_entry_that_was_changed_is_replaced_at_every_level(pod: Pod, key: str, level: str) -> None:
    options = (key, f"--verify={level}")
    for _ in range(2):
        assert pod.fetch(*options).status == 0
    other_byte(pod.entry)
    outcome = pod.fetch(*options)
    assert outcome.status == 0
    assert "was replaced" in outcome.message
    assert pod.served() == CONTENT


def test_a_mirror_is_asked_and_gets_the_token_that_nobody_else_gets(pod: Pod, hub: HubServer, tmp_path: Path) -> None:
    token = "hf_sometokensometokensometokensom"
    hub.admin.add_account("team", token)
    hub.admin.set_gated(REPOSITORY)
    hub.admin.grant_access(REPOSITORY, "team")
    (tmp_path / "token").write_text(token)
    pod.move_to("http://127.0.0.1:1")
    assert pod.fetch(f"--mirror={hub.url}", f"--token-file={tmp_path / 'token'}").status == 0
    assert pod.served() == CONTENT


def test_a_token_that_is_none_is_said_to_be(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"two\nlines\xff")
    outcome = pod.fetch(f"--token-file={tmp_path / 'token'}")
    assert outcome.status == 4
    assert "something else than a token" in outcome.message


def test_a_sealed_start_loads_nothing_that_it_does_not_need() -> None:
    program = (
        "import sys, holdfast.weights.main; "
        "print(sorted({'pydantic', 'aiohttp', 'urllib3', 'huggingface_hub', 'kubernetes', 'kopf'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
