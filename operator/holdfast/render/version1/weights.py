"""How the artifacts of a revision get into its pods: the containers that fetch and verify, their volumes, and what engines see."""

from typing import Any, Final

from holdfast.api import names
from holdfast.api.deployment import CacheType, Serving, Unused, Verification
from holdfast.api.revision import ModelRevisionSpec, ResolvedModel, ResolvedSource
from holdfast.domain.artifacts import DRAFT, MODEL, TOKENIZER, Artifact, artifacts, artifacts_digest
from holdfast.domain.retention import NAMED_KEY
from holdfast.domain.weights import Place, is_fetched_by_job, place, placed
from holdfast.render.version1 import container as c
from holdfast.render.version1.base import READ_ONLY_MODE, container_security, environment, literal

_WAIT_SECONDS: Final = 7200  # for a Job that fetches; then the container ends, says so and is started again
_IMAGE_FOLDER: Final = "models"  # of a modelcar: https://kserve.github.io/website/docs/model-serving/storage/providers/oci
_SEALS_FOLDER: Final = "seals"
_ADAPTER: Final = "adapter-"
_CODE: Final = "code-"


def verifiers(revision: ModelRevisionSpec, serving: Serving) -> list[dict[str, Any]]:
    """Return the containers that run before the engine; each ends well only when its bytes are the approved ones."""
    model = revision.model
    found: list[dict[str, Any]] = []
    if is_fetched_by_job(model, serving):
        found.append(_waiting(revision, serving))
    elif placed(model, serving, Place.CACHE):
        found.append(fetching(revision, serving))
    found += [
        _in_folder(revision, serving, artifact)
        for artifact in artifacts(model)
        if place(artifact, serving) in {Place.IMAGE, Place.VOLUME}
    ]
    return found


def fetching(revision: ModelRevisionSpec, serving: Serving) -> dict[str, Any]:
    """Return the container that fetches into the cache, which is writable for it."""
    args = [f"--directory={c.WEIGHTS}", f"--seal-key-file={c.SEAL}/{names.SEAL_KEY}"]
    mounts: list[dict[str, Any]] = [
        {"name": "weights", "mountPath": c.WEIGHTS},
        {"name": "seal", "mountPath": c.SEAL, "readOnly": True},
    ]
    if serving.hub_token:
        mounts.append({"name": "token", "mountPath": c.TOKEN, "readOnly": True})
        args.append(f"--token-file={c.TOKEN}/token")
    if serving.registry_credentials:
        mounts.append({"name": "registry", "mountPath": c.REGISTRY, "readOnly": True})
        args.append(f"--registry-credentials={c.REGISTRY}/config.json")
    if serving.mirror:
        args.append(f"--mirror={serving.mirror}")
    if is_fetched_by_job(revision.model, serving):
        args.append(f"--revision={revision.number}")
        if _deletes_unused(serving):
            args.append(f"--named={c.NAMED}/{NAMED_KEY}")
            mounts.append({"name": "named", "mountPath": c.NAMED, "readOnly": True})
    return _container("weights", "fetch", revision, serving, [*_only(revision.model, serving), *args], mounts)


def engine_mounts(model: ResolvedModel, serving: Serving) -> list[dict[str, Any]]:
    """Return the mounts by which the engine sees every artifact, read-only and nothing else of the cache."""
    found = [mount for _, mount in artifact_mounts(model, serving)]
    for artifact in artifacts(model):
        if artifact.name.startswith(_CODE):
            reference = f"{c.CODE}/{_repository_folder(artifact.source)}/refs/main"
            found.append({"name": "revision", "mountPath": reference, "subPath": _reference_key(artifact), "readOnly": True})
    return found


def artifact_mounts(model: ResolvedModel, serving: Serving) -> list[tuple[str, dict[str, Any]]]:
    """Return every artifact by its name, with the mount by which the engine sees it."""
    return [(artifact.name, _mount(artifact, serving, _target(artifact))) for artifact in artifacts(model)]


def references(model: ResolvedModel) -> dict[str, str]:
    """Return the keys of the ConfigMap that are mounted as branches of repositories of code."""
    code = (artifact for artifact in artifacts(model) if artifact.name.startswith(_CODE))
    return {_reference_key(artifact): artifact.source.hugging_face.commit for artifact in code if artifact.source.hugging_face}


def engine_volumes(deployment: str, revision: ModelRevisionSpec, serving: Serving) -> list[dict[str, Any]]:
    """Return the volumes of an engine's pod that `verifiers` and `engine_mounts` name."""
    model = revision.model
    found: list[dict[str, Any]] = []
    if is_fetched_by_job(model, serving):
        found += [cache_volume(deployment, serving), _seal_volume()]
    elif placed(model, serving, Place.CACHE):
        found += [cache_volume(deployment, serving), *source_volumes(serving)]
    for artifact in placed(model, serving, Place.IMAGE):
        if artifact.source.oci is not None:
            image = {"reference": artifact.source.oci.reference, "pullPolicy": "IfNotPresent"}
            found.append({"name": _image_volume(artifact), "image": image})
    for artifact in placed(model, serving, Place.VOLUME):
        if artifact.source.volume is not None:
            claim = {"claimName": artifact.source.volume.claim_name, "readOnly": True}
            found.append({"name": _claim_volume(artifact), "persistentVolumeClaim": claim})
    return found


def cache_volume(deployment: str, serving: Serving) -> dict[str, Any]:
    """Return the volume of the cache."""
    if serving.cache and serving.cache.type is CacheType.PERSISTENT_VOLUME_CLAIM:
        return {"name": "weights", "persistentVolumeClaim": {"claimName": names.weights_claim_name(deployment)}}
    return {"name": "weights", "emptyDir": {}}


def source_volumes(serving: Serving) -> list[dict[str, Any]]:
    """Return the volumes that a container needs which fetches: the key of seals, and what opens the sources."""
    found = [_seal_volume()]
    if serving.hub_token:
        found.append(_secret_volume("token", serving.hub_token.name, serving.hub_token.key, "token"))
    if serving.registry_credentials:
        # The type kubernetes.io/dockerconfigjson has this one key (Kubernetes API, Secret).
        found.append(_secret_volume("registry", serving.registry_credentials.name, ".dockerconfigjson", "config.json"))
    return found


def named_volumes(deployment: str, serving: Serving) -> list[dict[str, Any]]:
    """Return the volume with what must stay in the claim, if the rest may go. Without the ConfigMap all of it stays."""
    if not _deletes_unused(serving):
        return []
    config = {"name": names.weights_named_name(deployment), "defaultMode": READ_ONLY_MODE, "optional": True}
    return [{"name": "named", "configMap": config}]


def revision_volume(deployment: str, number: int) -> dict[str, Any]:
    """Return the volume with the revision's ConfigMap."""
    config = {"name": names.revision_config_name(deployment, number), "defaultMode": READ_ONLY_MODE}
    return {"name": "revision", "configMap": config}


def _deletes_unused(serving: Serving) -> bool:
    return serving.cache is not None and serving.cache.unused is Unused.DELETE


def _waiting(revision: ModelRevisionSpec, serving: Serving) -> dict[str, Any]:
    """Return the container that waits for a Job and verifies what it fetched. It may add a seal and write nothing else."""
    args = [
        f"--directory={c.WEIGHTS}",
        f"--seals={c.SEALS}",
        f"--seal-key-file={c.SEAL}/{names.SEAL_KEY}",
        f"--wait={_WAIT_SECONDS}",
        f"--revision={revision.number}",
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "weights", "mountPath": c.WEIGHTS, "readOnly": True},
        {"name": "weights", "mountPath": c.SEALS, "subPath": _SEALS_FOLDER},
        {"name": "seal", "mountPath": c.SEAL, "readOnly": True},
    ]
    return _container("weights", "verify", revision, serving, [*_only(revision.model, serving), *args], mounts)


def _in_folder(revision: ModelRevisionSpec, serving: Serving, artifact: Artifact) -> dict[str, Any]:
    """Return the container that verifies one artifact where it is mounted. Nobody can seal there, so it is hashed at each start.

    An image is mounted as a whole: one without the folder would keep a container that mounts the folder from starting, without a word.
    """
    folder = target = _target(artifact)
    mount = _mount(artifact, serving, target)
    if place(artifact, serving) is Place.IMAGE:
        target = f"{c.IMAGES}/{artifact.name}"
        folder = f"{target}/{mount.pop('subPath')}"
    args = [f"--only={artifact.name}", f"--folder={folder}"]
    return _container(f"weights-{artifact.name}", "verify", revision, serving, args, [mount | {"mountPath": target}])


def _container(
    name: str, verb: str, revision: ModelRevisionSpec, serving: Serving, args: list[str], mounts: list[dict[str, Any]]
) -> dict[str, Any]:
    level = serving.cache.verify if serving.cache and serving.cache.verify else Verification.ON_NODE
    whole = [
        verb,
        f"--artifacts={c.REVISION}/{c.ARTIFACTS_KEY}",
        f"--artifacts-digest={artifacts_digest(revision.model)}",
        f"--verify={level}",
        *args,
    ]
    return {
        "name": name,
        "image": revision.render.weights_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["holdfast-weights"],
        "args": literal(whole),
        "env": environment({"HOME": c.TEMPORARY, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": c.TEMPORARY}),
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": container_security(),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "revision", "mountPath": c.REVISION, "readOnly": True},
            {"name": "temporary", "mountPath": c.TEMPORARY},
            *mounts,
        ],
    }


def _only(model: ResolvedModel, serving: Serving) -> list[str]:
    """Return the arguments that leave out what comes as an image; what is on volumes is left out anyway."""
    if not placed(model, serving, Place.IMAGE):
        return []
    return [f"--only={artifact.name}" for artifact in placed(model, serving, Place.CACHE)]


def _target(artifact: Artifact) -> str:
    """Return where the engine sees an artifact."""
    fixed = {MODEL: c.MODEL, TOKENIZER: c.TOKENIZER, DRAFT: c.DRAFT}
    if artifact.name in fixed:
        return fixed[artifact.name]
    if artifact.name.startswith(_ADAPTER):
        return f"{c.ADAPTERS}/{artifact.name.removeprefix(_ADAPTER)}"
    commit = artifact.source.hugging_face.commit if artifact.source.hugging_face else ""
    return f"{c.CODE}/{_repository_folder(artifact.source)}/snapshots/{commit}"


def _mount(artifact: Artifact, serving: Serving, target: str) -> dict[str, Any]:
    found: dict[str, Any] = {"mountPath": target, "readOnly": True}
    match place(artifact, serving):
        case Place.CACHE:
            return found | {"name": "weights", "subPath": artifact.source.manifest_digest.replace(":", "-")}
        case Place.IMAGE:
            return found | {"name": _image_volume(artifact), "subPath": _IMAGE_FOLDER}
        case Place.VOLUME:
            volume = artifact.source.volume
            folder = {"subPath": volume.path} if volume and volume.path else {}
            return found | {"name": _claim_volume(artifact)} | folder


def _repository_folder(source: ResolvedSource) -> str:
    """Return the name of a repository's folder in a Hub cache (huggingface_hub, file_download.repo_folder_name)."""
    return f"models--{source.hugging_face.repository.replace('/', '--')}" if source.hugging_face else ""


def _reference_key(artifact: Artifact) -> str:
    return f"{artifact.name}.main"


def _image_volume(artifact: Artifact) -> str:
    return f"image-{artifact.name}"


def _claim_volume(artifact: Artifact) -> str:
    return f"claim-{artifact.name}"


def _seal_volume() -> dict[str, Any]:
    return _secret_volume("seal", names.SEAL_SECRET, names.SEAL_KEY, names.SEAL_KEY)


def _secret_volume(name: str, secret: str, key: str, path: str) -> dict[str, Any]:
    """Return a volume with one key of a Secret. Without it pods start: verified weights serve on, and unsealed ones are hashed."""
    return {
        "name": name,
        "secret": {
            "secretName": secret,
            "items": [{"key": key, "path": path}],
            "defaultMode": READ_ONLY_MODE,
            "optional": True,
        },
    }
