"""The programs of a bed, built from Go modules whose go.mod and go.sum pin every byte, kept in the cache."""

import dataclasses
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from testbed import machine, places
from testbed.errors import TestbedError
from testbed.progress import Progress

_MODULES = Path(__file__).with_name("go")


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """Programs that come from one Go module: `programs` maps a file's name to its package."""

    name: str
    programs: dict[str, str]
    tags: str = ""
    link: str = ""
    cgo: bool = False
    packages: tuple[str, ...] = ()

    @property
    def module(self) -> Path:
        """The folder of its go.mod."""
        return _MODULES / self.name

    def key(self) -> str:
        """Hash what the built programs depend on: sources and sums, flags, platform."""
        digest = hashlib.sha256()
        for path in sorted(self.module.glob("*")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        digest.update(repr((dataclasses.astuple(self), platform.machine())).encode())
        return digest.hexdigest()[:16]

    def folder(self) -> Path:
        """Where its built programs are, or will be."""
        return places.cache() / "programs" / f"{self.name}-{self.key()}"


def _kubernetes(*names: str) -> dict[str, str]:
    return {name: f"k8s.io/kubernetes/cmd/{name}" for name in names}


# Without these a server says v0.0.0 and clients complain; hack/lib/version.sh of Kubernetes sets the same.
_KUBERNETES_VERSION = " ".join(
    f"-X k8s.io/{package}.{name}={value}"
    for package in ("component-base/version", "client-go/pkg/version")
    for name, value in (("gitVersion", "v1.36.3"), ("gitMajor", "1"), ("gitMinor", "36"))
)

FAMILIES = {
    family.name: family
    for family in (
        Family("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}),
        Family(
            "kubernetes",
            _kubernetes("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kubelet", "kube-proxy"),
            link=_KUBERNETES_VERSION,
        ),
        Family("crane", {"crane": "github.com/google/go-containerregistry/cmd/crane"}),
        Family(
            "containerd",
            {
                name: f"github.com/containerd/containerd/v2/cmd/{name}"
                for name in ("containerd", "containerd-shim-runc-v2", "ctr")
            },
        ),
        # Without the tag every pod fails: "seccomp: config provided but seccomp not supported".
        Family(
            "runc",
            {"runc": "github.com/opencontainers/runc"},
            tags="seccomp",
            cgo=True,
            packages=("gcc", "libc6-dev", "libseccomp-dev", "pkg-config"),
        ),
        Family(
            "cni",
            {
                Path(part).name: f"github.com/containernetworking/plugins/plugins/{part}"
                for part in ("main/bridge", "main/loopback", "ipam/host-local", "meta/portmap")
            },
        ),
        Family("coredns", {"coredns": "."}),
        # For pods that tests ask what they can reach.
        Family("probe", {"probe": "."}),
        Family("helm", {"helm": "helm.sh/helm/v4/cmd/helm"}),
        Family("kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}),
        # Of the ways to discover targets only that by Kubernetes; the web pages' assets are not in the Go module.
        Family(
            "prometheus",
            {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
            tags="remove_all_sd,enable_kubernetes_sd",
        ),
    )
}

CONTROL_PLANE = ("etcd", "kubernetes", "crane")
NODE = ("containerd", "runc", "cni", "coredns")


class Programs:
    """Paths of programs; asking for one that is not yet built builds its family."""

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress or Progress()

    def path(self, name: str) -> Path:
        """Return the path of a program such as `kubectl`; raises TestbedError for an unknown name or a failed build."""
        for family in FAMILIES.values():
            if name in family.programs:
                return self.ensure([family.name])[0] / name
        known = sorted(name for family in FAMILIES.values() for name in family.programs)
        raise TestbedError(f"the bed has no program {name!r}; it has {', '.join(known)}")

    def built(self) -> list[Path]:
        """Return the folders of what is already built."""
        return [family.folder() for family in FAMILIES.values() if family.folder().is_dir()]

    def ensure(self, families: Iterable[str]) -> list[Path]:
        """Build what of these families is not in the cache, one after the other; returns their folders."""
        wanted = [FAMILIES[name] for name in families]
        missing = [family for family in wanted if not family.folder().is_dir()]
        if missing:
            self._check(missing)
            count = sum(len(family.programs) for family in missing)
            self._progress.say(f"Building {count} programs from source; the next start takes them from the cache.")
            done = 0
            for family in missing:
                done = self._build(family, done, count)
        return [family.folder() for family in wanted]

    @property
    def kubectl(self) -> Path:
        return self.path("kubectl")

    @property
    def helm(self) -> Path:
        return self.path("helm")

    @property
    def crane(self) -> Path:
        return self.path("crane")

    @property
    def ctr(self) -> Path:
        return self.path("ctr")

    def _check(self, families: list[Family]) -> None:
        if shutil.which("go") is None:
            raise TestbedError(
                f"the programs {', '.join(family.name for family in families)} are built with Go, which is not on PATH; "
                "install Go 1.26 or later (https://go.dev/doc/install) and try again"
            )
        packages = [package for family in families for package in family.packages]
        if packages:
            machine.ensure_packages(packages, progress=self._progress)

    def _build(self, family: Family, done: int, count: int) -> int:
        folder = family.folder()
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{family.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.is_dir():
                return done + len(family.programs)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{family.name}-") as temporary:
                fresh = Path(temporary) / "bin"
                fresh.mkdir(mode=0o755)
                for name, package in family.programs.items():
                    done += 1
                    with self._progress.step(f"build {name} ({done} of {count})"):
                        _compile(family, package, fresh / name)
                fresh.rename(folder)
        return done


def _compile(family: Family, package: str, output: Path) -> None:
    command = ["go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-o", str(output)]
    command += ["-ldflags", f"-s -w {family.link}".strip()]
    if family.tags:
        command += ["-tags", family.tags]
    environment = {**os.environ, "CGO_ENABLED": "1" if family.cgo else "0", "GOWORK": "off", "GOFLAGS": ""}
    result = subprocess.run(
        [*command, package],
        cwd=family.module,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise TestbedError(f"{output.name} does not build: {result.stderr.strip()[-2000:]}")
