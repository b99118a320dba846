"""Pushes a ModelPack artifact (github.com/modelpack/model-spec 0.0.7): each file is a layer of its own, which is no archive."""

import hashlib
import json
import urllib.request
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urljoin

_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_MODEL: Final = "application/vnd.cncf.model"


def push_model_pack(registry: str, name: str, files: Mapping[str, bytes]) -> str:
    """Push files to a registry that takes plain HTTP; return the reference with its digest."""
    base = f"http://{registry}/v2/{name}"
    layers = [
        {**_blob(base, content), "mediaType": f"{_MODEL}.weight.v1.raw", "annotations": {"org.cncf.model.filepath": path}}
        for path, content in files.items()
    ]
    known = {"modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]}, "descriptor": {"name": name}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "artifactType": f"{_MODEL}.manifest.v1+json",
        "config": {**_blob(base, json.dumps(known).encode()), "mediaType": f"{_MODEL}.config.v1+json"},
        "layers": layers,
    }
    content = json.dumps(manifest).encode()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    _send("PUT", f"{base}/manifests/{digest}", content, _MANIFEST)
    return f"{registry}/{name}@{digest}"


def _blob(base: str, content: bytes) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    place = urljoin(base, _send("POST", f"{base}/blobs/uploads/"))
    _send("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", content)
    return {"digest": digest, "size": len(content)}


def _send(method: str, url: str, content: bytes = b"", media_type: str = "application/octet-stream") -> str:
    """Return where the registry says that an upload goes on (OCI distribution specification 1.1, pushing)."""
    request = urllib.request.Request(url, data=content, method=method, headers={"Content-Type": media_type})  # noqa: S310 # http, the bed's
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return str(answer.headers.get("Location") or "")
