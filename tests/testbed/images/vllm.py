"""vLLM for processors as one folder of Python packages, made on the host because that takes a compiler."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

from testbed.images import cuda_stubs, sandbox
from testbed.images.errors import ImageError
from testbed.progress import Progress

_VERSION = "0.32.0"
_USELESS = ("torch/include", "torch/bin/protoc*", "torch/lib/libtorch_cuda_linalg.so", "torch/lib/libcaffe2_nvrtc.so", ".lock")
_STRIPPED = ("vllm/_C*.so", "torch/lib/libtorch_cpu.so", "torch/lib/libtorch_cuda.so")


def make(context: Path, progress: Progress) -> None:
    """Put the packages into `site` of the build context; raises ImageError if one cannot be had."""
    sandbox.require("gcc", "strip")
    site = context / "site"
    with progress.step("install the packages of vLLM"):
        _install(context / "requirements-vllm.txt", site)
    # The command line and the choice of the platform read the version of the distribution that is named vllm.
    metadata = site / f"vllm-{_VERSION}+cpu.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {_VERSION}+cpu\n")
    with progress.step("replace the libraries of CUDA by stubs"):
        cuda_stubs.write(site / "torch" / "lib")
    for path in [path for pattern in _USELESS for path in site.glob(pattern)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for pattern in _STRIPPED:
        for library in site.glob(pattern):
            _strip(library)


def _install(requirements: Path, site: Path) -> None:
    # The installer is a development dependency of the project; it picks wheels for the image's Python, not for ours.
    from uv import find_uv_bin

    command = [find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--python-version", "3.11", "--python-platform", f"{platform.machine()}-manylinux_2_36"]
    # A copy: what is a link into the installer's cache must not be stripped there.
    command += ["--link-mode", "copy", "--target", str(site), "--requirement", str(requirements)]
    environment = dict(os.environ)
    if index := os.environ.get("PIP_INDEX_URL"):
        environment.setdefault("UV_DEFAULT_INDEX", index)
    result = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ImageError(f"the packages of vLLM could not be installed: {result.stderr.strip()[-2000:]}")


def _strip(library: Path) -> None:
    result = subprocess.run(["strip", "--strip-unneeded", str(library)], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ImageError(f"strip failed: {result.stderr.strip()}")
