"""The caller's own way into the cluster: kubeconfig, context and namespace, as kubectl finds them."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.cli.exits import CommandError, ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where to connect, as whom, and which namespace is meant."""

    configuration: Any
    """A ``kubernetes.client.Configuration``, with credentials."""
    headers: Mapping[str, str]
    """Headers of every request: the impersonation that kubeconfig asks for."""
    namespace: str
    server: str
    context: str


def load(*, kubeconfig: str | None, context: str | None, namespace: str | None, environ: Mapping[str, str]) -> Connection:
    """Read kubeconfig: the option, else the variable KUBECONFIG (several paths are merged), else ``~/.kube/config``.

    Raises:
        CommandError: there is none, it is malformed, or its credentials could not be obtained.
    """
    import yaml
    from kubernetes.client import Configuration
    from kubernetes.config.config_exception import ConfigException
    from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

    paths = kubeconfig or environ.get("KUBECONFIG") or str(Path(environ.get("HOME", "~")).expanduser() / ".kube" / "config")
    if kubeconfig is not None and not Path(kubeconfig).expanduser().exists():
        raise CommandError(f"kubeconfig {kubeconfig} does not exist", ExitCode.UNREACHABLE)
    configuration = Configuration()
    configuration.retries = False
    try:
        merger = KubeConfigMerger(paths)  # type: ignore[no-untyped-call]
        if merger.config is None:
            raise CommandError(
                f"no kubeconfig at {paths}; set KUBECONFIG or give --kubeconfig, as for kubectl", ExitCode.UNREACHABLE
            )
        loader = KubeConfigLoader(  # type: ignore[no-untyped-call]
            config_dict=merger.config, active_context=context, config_persister=merger.save_changes
        )
        with _log_as_error(paths):
            loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
        active = loader.current_context
        user = _user(merger.config.value, active["context"].get("user"))
        if not configuration.host.startswith(("https://", "http://")):
            cluster = active["context"].get("cluster")
            raise ValueError(f"the server of the cluster {cluster} is {configuration.host!r}; it must be a URL, https://…")
    except (ConfigException, yaml.YAMLError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CommandError(f"kubeconfig {paths} cannot be used: {_said(error)}", ExitCode.UNREACHABLE) from error
    if not configuration.verify_ssl:
        import urllib3

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # kubeconfig says so; kubectl is silent too
    return Connection(
        configuration=configuration,
        headers=_impersonation(user, paths),
        namespace=namespace or active["context"].get("namespace") or "default",
        server=configuration.host,
        context=active["name"],
    )


def _said(error: Exception) -> str:
    """Return what is wrong with a kubeconfig; what the client's own code stumbles over says nothing to a person."""
    if isinstance(error, (AttributeError, KeyError, TypeError)):
        return "it has not the form of a kubeconfig; see what kubectl config view says of it"
    return " ".join(str(error).split()) or type(error).__name__


def _user(config: Mapping[str, Any], name: str | None) -> Mapping[str, Any]:
    """Return the user entry of kubeconfig; a context without a user acts as nobody.

    Raises:
        ValueError: the context names a user who is not there. The client would ask as nobody without a word.
    """
    for entry in config.get("users") or []:
        found = entry.value if hasattr(entry, "value") else entry
        if found["name"] == name:
            return dict(found.get("user") or {})
    if name:
        raise ValueError(f"the context names the user {name}, who is not in it")
    return {}


def _impersonation(user: Mapping[str, Any], paths: str) -> dict[str, str]:
    """Return the headers for ``as`` and ``as-uid``, which the Python client does not read.

    Without them a decision would be made in another name than kubectl uses with the same kubeconfig.
    """
    if user.get("as-groups") or user.get("as-user-extra"):
        raise CommandError(
            f"kubeconfig {paths} impersonates with as-groups or as-user-extra, which holdfast does not support; use the person's "
            "own credentials: decisions are made in one's own name",
            ExitCode.UNREACHABLE,
        )
    headers = {"Impersonate-User": user.get("as"), "Impersonate-Uid": user.get("as-uid")}
    return {name: value for name, value in headers.items() if value}


@contextmanager
def _log_as_error(paths: str) -> Iterator[None]:
    """Turn what the client only logs (a credential plugin that failed) into the error that it is.

    Without this the request would go out with no credentials, and the person would read about ``system:anonymous``.
    """
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    root, handler = logging.getLogger(), Collector(logging.ERROR)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
    if messages:
        raise CommandError(f"kubeconfig {paths}: the credentials could not be obtained: {messages[0]}", ExitCode.UNREACHABLE)
