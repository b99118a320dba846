"""Where the demo runs and with which images, from the environment."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BED = "demo"
TEAM = "team-a"
HUB_NAMESPACE = "demo-hub"
NAME = "support-chat"
MADE = ("holdfast.dev/demo", "true")
"""The label of what a demo made, and may remove."""

_IMAGES = {
    "HOLDFAST_IMAGE": "the operator, built from this repository's Dockerfile",
    "HOLDFAST_GATEWAY_IMAGE": "Envoy",
    "HOLDFAST_ENGINE_IMAGE": "llama.cpp's server",
    "HOLDFAST_DEMO_HUB_IMAGE": "the Hub stand-in: python -m testbed.images hub",
}


class SettingsError(Exception):
    """The environment does not say enough; the text says what to set."""


@dataclass(frozen=True, slots=True)
class ForeignCluster:
    """A cluster of the reader's, and images that it can pull."""

    kubeconfig: Path
    kubectl: Path
    helm: Path
    holdfast: str
    gateway: str
    engine: str
    hub: str


def foreign_cluster(environment: Mapping[str, str] = os.environ) -> ForeignCluster | None:
    """Return the cluster that HOLDFAST_KUBECONFIG names, None without it.

    Raises:
        SettingsError: an image or a program is missing.
    """
    kubeconfig = foreign_kubeconfig(environment)
    if kubeconfig is None:
        return None
    for variable, what in _IMAGES.items():
        if "@sha256:" not in environment.get(variable, ""):
            raise SettingsError(
                f"{variable} is needed with HOLDFAST_KUBECONFIG: an image by digest that the cluster can pull ({what})"
            )
    return ForeignCluster(
        kubeconfig=kubeconfig,
        kubectl=program("kubectl", environment),
        helm=program("helm", environment),
        holdfast=environment["HOLDFAST_IMAGE"],
        gateway=environment["HOLDFAST_GATEWAY_IMAGE"],
        engine=environment["HOLDFAST_ENGINE_IMAGE"],
        hub=environment["HOLDFAST_DEMO_HUB_IMAGE"],
    )


def foreign_kubeconfig(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file that HOLDFAST_KUBECONFIG names, None without it.

    Raises:
        SettingsError: there is no such file.
    """
    named = environment.get("HOLDFAST_KUBECONFIG")
    if not named:
        return None
    kubeconfig = Path(named).expanduser().resolve()
    if not kubeconfig.is_file():
        raise SettingsError(f"HOLDFAST_KUBECONFIG names {named}, which is not a file")
    return kubeconfig


def program(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Return where a program is.

    Raises:
        SettingsError: it is not on PATH.
    """
    found = shutil.which(name, path=environment.get("PATH"))
    if found is None:
        raise SettingsError(f"{name} is needed on PATH to run the demo on a cluster of yours")
    return Path(found)
