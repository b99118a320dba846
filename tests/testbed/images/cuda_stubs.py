"""Libraries that stand in for those of CUDA, so that a torch built for CUDA loads where neither they nor a GPU are.

The only torch wheel on the package index links to 13 libraries of NVIDIA (2.7 GB). On a machine without a GPU the first call to
any of them would end in cudaErrorNoDevice; here every function of theirs returns that and nothing else, from a few kilobytes.
"""

import collections
import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from testbed.images.errors import ImageError

_NO_DEVICE = 100  # cudaErrorNoDevice in driver_types.h of CUDA
# Those that are loaded by `import torch`.
LOADED = (
    "libtorch_global_deps.so",
    "libc10_cuda.so",
    "libtorch_cpu.so",
    "libtorch_cuda.so",
    "libtorch_python.so",
    "libtorch_nvshmem.so",
)
# Symbols without a version are found by their prefix; the first that fits.
_HOMES = (
    ("cublasLt", "libcublasLt"),
    ("cusparseLt", "libcusparseLt"),
    ("nccl", "libnccl"),
    ("cuFile", "libcufile"),
    ("nvshmem", "libnvshmem_host"),
    ("cu", "libcudart"),
)


def write(folder: Path) -> None:
    """Write the stubs beside torch's libraries in `folder`; raises ImageError if a tool of the compiler fails."""
    needed: set[str] = set()
    symbols: dict[str, set[str]] = collections.defaultdict(set)
    versions: dict[str, str] = {}
    for name in LOADED:
        library = folder / name
        mine = {found for found in re.findall(r"NEEDED.*\[(.*?)\]", _output("readelf", "-d", library)) if _nvidia(found)}
        needed |= mine
        versions |= _versions(_output("readelf", "-W", "-V", library), mine)
        for symbol, version in _undefined(_output("nm", "-D", "--undefined-only", library)):
            home = versions.get(version) if version else _home(symbol, needed)
            if home is not None:
                symbols[home].add(symbol)
    names = {library: version for version, library in versions.items()}
    for library_name in sorted(needed):
        _compile(folder / library_name, sorted(symbols[library_name]), names.get(library_name, library_name))


def _nvidia(library: str) -> bool:
    return library.startswith(("libcu", "libnv", "libnccl"))


def _versions(listing: str, libraries: Iterable[str]) -> dict[str, str]:
    """Which name of a symbol version comes from which of the libraries."""
    found: dict[str, str] = {}
    library = ""
    for line in listing.splitlines():
        if match := re.search(r"Version: .*File: (\S+)", line):
            library = match[1]
        elif (match := re.search(r"Name: (\S+)\s+Flags", line)) and library in libraries:
            found[match[1]] = library
    return found


def _undefined(listing: str) -> Iterable[tuple[str, str]]:
    """Symbols with their version, or with an empty one."""
    for line in listing.splitlines():
        symbol, _, version = line.split()[-1].partition("@")
        yield symbol, version.lstrip("@")


def _home(symbol: str, libraries: set[str]) -> str | None:
    if not re.match(r"(cu|nv|nccl)[A-Za-z]", symbol):
        return None
    stem = next((stem for prefix, stem in _HOMES if symbol.startswith(prefix)), None)
    return next((library for library in sorted(libraries) if stem and library.startswith(stem)), None)


def _compile(target: Path, symbols: list[str], version: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        source, script = Path(temporary) / "stub.c", Path(temporary) / "stub.map"
        source.write_text("".join(map(_function, symbols)) or "int holdfast_stub;\n")
        script.write_text(f"{version} {{ global: *; }};\n")
        options = ["-fno-builtin", "-w", "-shared", "-fPIC", "-O1", "-s", "-nostdlib", "-Wl,--build-id=none"]
        names = [f"-Wl,-soname,{target.name}", f"-Wl,--version-script={script}"]
        _output("gcc", *options, *names, "-o", target, source)


def _function(symbol: str) -> str:
    if symbol.endswith(("ErrorString", "ErrorName")):
        return f'const char *{symbol}(void){{return "stub";}}\n'
    return f"int {symbol}(void){{return {_NO_DEVICE};}}\n"


def _output(*command: str | Path) -> str:
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ImageError(f"{' '.join(map(str, command))} failed: {result.stderr.strip()[-1000:]}")
    return result.stdout
