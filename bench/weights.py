"""How quick ``holdfast-weights`` is, against what the machine can do and against ``hf download``, which verifies nothing.

    python bench/weights.py                     4 GiB in 64 shards
    HOLDFAST_BENCH_GIB=0.5 python bench/weights.py    a quick look

Everything runs on this machine: the Hub stand-in on loopback in a process of its own, files in memory (/dev/shm) when there is
room, so that programs are compared and not disks. Each figure is the median of the repeats, and its spread is printed. Exit status 1
when a goal is missed.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import rfc8785

from holdfast.api.manifest import manifest_digest
from holdfast.weights.artifacts import ApprovedFile
from holdfast.weights.inspection import Inspector
from holdfast.weights.levels import Level
from testbed.hub import layout
from testbed.hub.server import make_state

GIB: Final = 1024**3
SIZE: Final = int(float(os.environ.get("HOLDFAST_BENCH_GIB", "4")) * GIB)
REPEATS: Final = int(os.environ.get("HOLDFAST_BENCH_REPEATS", "3"))
SHARDS: Final = 64
SMALL_FILES: Final = 200
REPOSITORY: Final = "bench/shards"
CORES: Final = len(os.sched_getaffinity(0))
MEMORY_MAX_MIB: Final = 200.0
_HOLDFAST: Final = (sys.executable, "-m", "holdfast.weights.main")


@dataclass(frozen=True)
class Run:
    """One program from start to end. Wall time in seconds, largest resident memory in MiB."""

    seconds: float
    memory_mib: float


class Report:
    """Prints a line for each figure and remembers whether all goals were met."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def figure(self, name: str, value: float, against: float, *, most: float | None = None, least: float | None = None) -> None:
        ratio = value / against
        met = ratio <= most if most is not None else ratio >= (least or 0.0)
        goal = f"<={most:.2f}" if most is not None else f">={least:.2f}"
        if not met:
            self.missed.append(name)
        print(
            f"weights {name} value={value:.3f} against={against:.3f} ratio={ratio:.3f} goal={goal} {'ok' if met else 'short'}",
            flush=True,
        )

    def note(self, name: str, **values: object) -> None:
        print(f"  {name}: " + " ".join(f"{key}={value}" for key, value in values.items()), flush=True)


def main() -> int:
    """Run all and return the exit status."""
    report = Report()
    with _folder() as folder:
        print(f"{SIZE / GIB:g} GiB in {SHARDS} shards, {CORES} cores, {REPEATS} repeats, in {folder}", flush=True)
        # In a process of its own: what a child's memory is measured by includes its parent's at the fork (getrusage(2)).
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
            files, commit = other.submit(_publish, folder / "hub").result()
        with _hub(folder / "hub") as url:
            pod = Pod(folder / "pod", url, commit, files)
            memory = _fetching(report, pod, url, commit, folder)
            memory = max(memory, _verifying(report, pod))
            report.figure("peak-memory-MiB", memory, MEMORY_MAX_MIB, most=1.0)
        _starting(report, folder / "small")
    if report.missed:
        print(f"short of the goal: {', '.join(report.missed)}", file=sys.stderr)
    return 1 if report.missed else 0


class Pod:
    """A cache, a list of artifacts, a key."""

    def __init__(self, folder: Path, url: str, commit: str, files: list[ApprovedFile]) -> None:
        self.files = files
        self.digest = manifest_digest(files)
        self.cache = folder / "cache"
        self.cache.mkdir(parents=True)
        self.entry = self.cache / self.digest.replace(":", "-")
        listed = [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in files]
        source = {"huggingFace": {"endpoint": url, "repository": REPOSITORY, "commit": commit}}
        artifact: dict[str, Any] = {"name": "model", "manifestDigest": self.digest, "source": source, "files": listed}
        content = rfc8785.dumps({"artifacts": [artifact]})
        (folder / "artifacts.json").write_bytes(content)
        (folder / "key").write_bytes(os.urandom(32))
        self._options = (
            f"--artifacts={folder / 'artifacts.json'}",
            f"--artifacts-digest=sha256:{hashlib.sha256(content).hexdigest()}",
            f"--directory={self.cache}",
            f"--termination-log={folder / 'none'}",
        )
        self.key = f"--seal-key-file={folder / 'key'}"

    def run(self, verb: str, *options: str) -> Run:
        return _timed([*_HOLDFAST, verb, *self._options, *options])

    def empty(self) -> None:
        for root, _, _ in os.walk(self.cache):
            Path(root).chmod(0o700)
        shutil.rmtree(self.cache)
        self.cache.mkdir()


def _fetching(report: Report, pod: Pod, url: str, commit: str, folder: Path) -> float:
    """Fetch with and without verification, in turns. Return the largest memory of ours; the cache stays filled."""
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    environment |= {"HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1"}
    ours: list[Run] = []
    theirs: list[float] = []
    rates: list[float] = []
    for _ in range(REPEATS):
        rates.append(_sha256_in_memory())
        target = folder / "theirs"
        hf = Path(sys.executable).with_name("hf")
        command = [str(hf), "download", REPOSITORY, "--revision", commit, "--local-dir", str(target), "--quiet"]
        theirs.append(_timed(command, environment).seconds)
        shutil.rmtree(target)
        pod.empty()
        ours.append(pod.run("fetch", pod.key))
    seconds = [run.seconds for run in ours]
    bound = SIZE / (CORES * statistics.median(rates))
    report.note("fetch, verified and sealed, s", **_spread(seconds))
    report.note("hf download, not verified, s", **_spread(theirs))
    report.note("bytes / (cores * sha256 rate), s", bound=f"{bound:.2f}", sha256_GBps=f"{statistics.median(rates) / 1e9:.2f}")
    report.figure("fetch-seconds", statistics.median(seconds), max(statistics.median(theirs), bound), most=1.10)
    return max(run.memory_mib for run in ours)


def _verifying(report: Report, pod: Pod) -> float:
    """Hash what was fetched, by one thread with the standard library and by ours. Return the largest memory of ours."""
    inspector = Inspector(level=Level.ALWAYS, seals=None, boot_id="")
    single: list[float] = []
    whole: list[float] = []
    with contextlib.redirect_stdout(io.StringIO()):
        for _ in range(REPEATS):
            single.append(SIZE / _seconds(lambda: _one_thread(pod)))
            whole.append(SIZE / _seconds(lambda: inspector.inspect(pod.entry, pod.digest, pod.files)))
    rate = statistics.median(single)
    report.note("hashlib.file_digest of the same files, one thread, GB/s", **_spread([rate / 1e9 for rate in single]))
    report.note("hashlib.sha256 of one MiB in memory, one thread, GB/s", rate=f"{_sha256_in_memory() / 1e9:.2f}")
    report.note("verified, GB/s", **_spread([rate / 1e9 for rate in whole]))
    report.figure("verify-GBps", statistics.median(whole) / 1e9, CORES * rate / 1e9, least=0.95)
    runs = [pod.run("verify", "--verify=Always") for _ in range(REPEATS)]
    report.note("the same as a process, s", **_spread([run.seconds for run in runs]))
    first = pod.run("verify", pod.key)
    report.note("first look after a boot, blake3, s", seconds=f"{first.seconds:.2f}", GBps=f"{SIZE / first.seconds / 1e9:.2f}")
    sealed = [pod.run("verify", pod.key) for _ in range(REPEATS)]
    report.note("sealed, s", **_spread([run.seconds for run in sealed]))
    return max(run.memory_mib for run in (*runs, first, *sealed))


def _starting(report: Report, folder: Path) -> None:
    """Start on a sealed cache of many files. Their sizes do not matter: nothing is read."""
    content = {f"folder-{index % 10}/file-{index}.bin": os.urandom(4096) for index in range(SMALL_FILES)}
    pod = Pod(folder, "http://127.0.0.1:1", "0" * 40, _listed(content))
    for path, data in content.items():
        target = pod.entry / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    pod.run("seal", pod.key)
    runs = [pod.run("verify", pod.key).seconds for _ in range(max(REPEATS, 5))]
    report.note(f"verify on a sealed cache of {SMALL_FILES} files, s", **_spread(runs))
    report.figure("sealed-start-seconds", statistics.median(runs), 1.0, most=1.0)


def _publish(root: Path) -> tuple[list[ApprovedFile], str]:
    """Fill a hub's folder, without the network; return the files and the commit."""
    state = make_state(root)
    state.create_repo(REPOSITORY, private=False, gated=False)
    files: list[ApprovedFile] = []
    commit = ""
    for index in range(SHARDS):
        path = f"model-{index + 1:05}-of-{SHARDS:05}.safetensors"
        data = _shard(SIZE // SHARDS)
        files += _listed({path: data})
        changes = {path: data}
        made = state.commit(
            REPOSITORY, changes, lfs={path: True}, ref="refs/heads/main", author=None, title=f"Add {path}", message=""
        )
        commit = made.sha
    # The Hub's own first file is part of every repository; `hf download` brings it as well.
    files += _listed({".gitattributes": layout.GITATTRIBUTES})
    return sorted(files, key=lambda file: file.path), commit


def _shard(size: int) -> bytes:
    """Return a safetensors file of about this size, of random bytes."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + os.urandom(size)


def _listed(content: dict[str, bytes]) -> list[ApprovedFile]:
    return [
        ApprovedFile(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest()) for path, data in sorted(content.items())
    ]


@contextlib.contextmanager
def _hub(root: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "testbed.hub", "--root", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    memory = Path("/dev/shm")  # noqa: S108 # a file system in memory, and a folder of our own in it
    needed = 3 * SIZE + GIB // 2
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > needed and _available() > needed
    path = Path(
        tempfile.mkdtemp(prefix="holdfast-bench-", dir=os.environ.get("HOLDFAST_BENCH_DIR") or (memory if roomy else None))
    )
    try:
        yield path
    finally:
        for root, _, _ in os.walk(path):
            Path(root).chmod(0o700)
        shutil.rmtree(path)


def _available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _timed(command: list[str], environment: dict[str, str] | None = None) -> Run:
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if status:
        raise RuntimeError(f"{' '.join(command[:4])} failed:\n{output.decode()[-2000:]}")
    return Run(seconds, usage.ru_maxrss / 1024)


def _sha256_in_memory() -> float:
    """Return the bytes a second that one thread hashes when nothing has to be read."""
    piece = os.urandom(1024 * 1024)
    count = 512

    def work() -> None:
        digest = hashlib.sha256()
        for _ in range(count):
            digest.update(piece)

    return count * len(piece) / _seconds(work)


def _one_thread(pod: Pod) -> None:
    for file in pod.files:
        with (pod.entry / file.path).open("rb") as content:
            hashlib.file_digest(content, "sha256")


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _spread(values: list[float]) -> dict[str, str]:
    return {"median": f"{statistics.median(values):.3f}", "min": f"{min(values):.3f}", "max": f"{max(values):.3f}"}


if __name__ == "__main__":
    sys.exit(main())
