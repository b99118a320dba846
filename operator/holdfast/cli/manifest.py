"""The manifest that ``holdfast pin`` prints: a ModelDeployment with comments that tell what was asked for, and when."""

import io
from dataclasses import dataclass
from typing import Any

from holdfast.api.deployment import ModelDeploymentSpec
from holdfast.api.names import API_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Remarks:
    """Comments, by the place where they stand. They inform the reader and mean nothing to Kubernetes."""

    head: tuple[str, ...]
    version: str
    """At the commit, or at the artifact's reference."""
    manifest_digest: str
    include: str
    image: str
    foot: tuple[str, ...] = ()
    """Lines at the end of ``spec``."""


def manifest(name: str, namespace: str | None, spec: ModelDeploymentSpec) -> dict[str, Any]:
    """Return the object; the namespace is left to ``kubectl apply -n`` unless one was named."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelDeployment",
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "spec": spec.wire(),
    }


def yaml_text(document: dict[str, Any], remarks: Remarks) -> str:
    """Return the manifest as YAML with its remarks."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    def commented(value: Any) -> Any:
        if isinstance(value, dict):
            return CommentedMap({key: commented(inner) for key, inner in value.items()})
        return [commented(inner) for inner in value] if isinstance(value, list) else value

    root = commented(document)
    model = root["spec"]["model"]
    source, engine = next(iter(model["source"].values())), model["engine"]
    for place, key, remark in (
        (source, "commit", remarks.version),
        (source, "reference", remarks.version),
        (source, "manifestDigest", remarks.manifest_digest),
        (source, "include", remarks.include),
        (engine, "image", remarks.image),
    ):
        if remark and key in place:
            place.yaml_add_eol_comment(_one_line(remark), key)
    root.yaml_set_start_comment("\n".join(_one_line(line) for line in remarks.head))
    yaml = YAML()
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(root, stream)
    return stream.getvalue() + "".join(f"  # {line}\n" for line in remarks.foot)


def _one_line(text: str) -> str:
    """Keep a remark inside its comment, whatever it quotes."""
    from holdfast.cli.terminal import printable

    return printable(" ".join(text.split()))
