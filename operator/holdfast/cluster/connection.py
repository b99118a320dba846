"""How to reach the API server: a kubeconfig, or the service account of the pod."""

import os
from pathlib import Path

from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from holdfast import __version__
from holdfast.cluster.errors import Rejected


async def load_configuration(*, kubeconfig: Path | None = None, context: str | None = None) -> Configuration:
    """Return where the API server is and how to log in.

    Args:
        kubeconfig: the file to use. Absent means $KUBECONFIG, else the service account of the pod, else ~/.kube/config.
        context: the context in it; absent means its current one.

    Raises:
        Rejected: there is no usable configuration.
    """
    configuration = Configuration()
    chosen = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG")
    try:
        if not chosen and not context and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=chosen or config.KUBE_CONFIG_DEFAULT_LOCATION,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
    except (config.ConfigException, OSError, ValueError) as error:
        raise Rejected(
            f"there is no usable configuration for a cluster: {error}; set KUBECONFIG, pass --kubeconfig, or run in a pod"
        ) from error
    return configuration


async def connect(*, kubeconfig: Path | None = None, context: str | None = None, agent: str = "holdfast-operator") -> ApiClient:
    """Return a client that is set up and has not sent anything yet; the caller closes it.

    Args:
        kubeconfig: as in `load_configuration`.
        context: as in `load_configuration`.
        agent: first part of the User-Agent header, by which the API server's audit log tells programs apart.

    Raises:
        Rejected: there is no usable configuration.
    """
    client = ApiClient(await load_configuration(kubeconfig=kubeconfig, context=context))
    client.user_agent = f"{agent}/{__version__}"
    return client
