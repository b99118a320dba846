"""What is in the archives of an artifact, read once: exactly what pods will find there."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.api.found import Question, Taking
from holdfast.api.manifest import manifest_digest, paths_problem
from holdfast.api.model import ModelSource
from holdfast.sources.hub_errors import HubError, SourceMismatchError, SourceUnusableError
from holdfast.sources.oci_blobs import OciArtifact
from holdfast.sources.oci_listing import Listing, chosen, read_listing
from holdfast.sources.registry_access import RegistryAccess
from unit.registry import IMAGE, IMAGE_ZSTD, MODEL, MODELKIT, RAW, TITLE, RegistryStandIn, archive, zstd

FILES = {
    "config.json": b'{"max_position_embeddings": 1}',
    "model.safetensors": b"weights" * 1000,
    "nested/tokenizer.json": b"{}",
}


@pytest.fixture(scope="module")
def registry() -> Iterator[RegistryStandIn]:
    with RegistryStandIn() as running:
        yield running


def listing(registry: RegistryStandIn, *layers: tuple[str, bytes], told: list[int] | None = None) -> Listing:
    return titled(registry, *((kind, content, {}) for kind, content in layers), told=told)


def titled(registry: RegistryStandIn, *layers: tuple[str, bytes, dict[str, str]], told: list[int] | None = None) -> Listing:
    reference = f"{registry.host}/{MODEL}@{registry.push_layers(MODEL, *layers)}"
    artifact = OciArtifact(reference, RegistryAccess())
    return read_listing(artifact, reference, artifact.layers(), watch=(told if told is not None else []).append)


def question(found: Listing, *, python: bool = False) -> Question:
    source = ModelSource.parse({"oci": {"reference": found.reference}})
    return Question(source=source, taking=Taking.SAFETENSORS, python=python)


def hashes(files: dict[str, bytes]) -> dict[str, tuple[int, str]]:
    return {path: (len(content), hashlib.sha256(content).hexdigest()) for path, content in files.items()}


def listed(found: Listing) -> dict[str, tuple[int, str]]:
    return {path: (file.size, file.sha256) for path, file in found.files.items()}


def below(files: dict[str, bytes], *, folder: str = "models/") -> bytes:
    return archive({f"{folder}{path}": content for path, content in files.items()}, compressed=False)


def entry(kind: bytes, *, name: str = "models/link", target: str = "/etc/passwd") -> bytes:
    """An archive with one thing that is no plain file."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        made.addfile(member)
    return stream.getvalue()


def test_every_file_is_listed_with_its_hash(registry: RegistryStandIn) -> None:
    found = listing(registry, *((MODELKIT, archive({path: content})) for path, content in FILES.items()))
    assert listed(found) == hashes(FILES)
    assert found.texts == {"config.json": FILES["config.json"].decode()}


@pytest.mark.parametrize("kind", [IMAGE, IMAGE_ZSTD, IMAGE.removesuffix("+gzip")])
def test_of_an_image_what_is_below_models_is_listed(registry: RegistryStandIn, kind: str) -> None:
    packers: dict[str, Callable[[bytes], bytes]] = {IMAGE: gzip.compress, IMAGE_ZSTD: zstd.compress}
    pack = packers.get(kind, bytes)
    base = archive({"bin/sh": b"#!", "config.json": b"not the model's"}, folders=("models",))
    found = listing(registry, (IMAGE, base), (kind, pack(below(FILES))))
    assert listed(found) == hashes(FILES)


def test_raw_layers_beside_archives_are_files(registry: RegistryStandIn) -> None:
    config = {"config.json": FILES["config.json"]}
    found = titled(
        registry,
        (RAW, FILES["model.safetensors"], {TITLE: "model.safetensors"}),
        (RAW, FILES["config.json"], {TITLE: "./config.json"}),
        (MODELKIT, archive({"nested/tokenizer.json": FILES["nested/tokenizer.json"]}), {}),
    )
    assert listed(found) == hashes(FILES)
    assert found.texts == {path: content.decode() for path, content in config.items()}


def test_how_far_it_is_is_told_in_bytes_that_came(registry: RegistryStandIn) -> None:
    layer = zstd.compress(below(FILES))
    told: list[int] = []
    listing(registry, (IMAGE_ZSTD, layer), told=told)
    assert sum(told) == len(layer)


def test_whatever_the_watcher_raises_ends_it(registry: RegistryStandIn) -> None:
    reference = f"{registry.host}/{MODEL}@{registry.push_layers(MODEL, (MODELKIT, archive(FILES), {}))}"
    artifact = OciArtifact(reference, RegistryAccess())

    def interrupt(_: int) -> None:
        raise SourceUnusableError("interrupted")

    with pytest.raises(SourceUnusableError, match="interrupted"):
        read_listing(artifact, reference, artifact.layers(), watch=interrupt)


@pytest.mark.parametrize(
    ("upper", "left"),
    [
        ({"models/config.json": b'{"a": 1}'}, {**FILES, "config.json": b'{"a": 1}'}),
        ({"models/.wh.config.json": b""}, {path: FILES[path] for path in FILES if path != "config.json"}),
        ({"models/nested/.wh..wh..opq": b""}, {path: FILES[path] for path in FILES if not path.startswith("nested")}),
        ({"models/.wh.nested": b""}, {path: FILES[path] for path in FILES if not path.startswith("nested")}),
        ({".wh.models": b"", "models/other.json": b"{}"}, {"other.json": b"{}"}),
        ({".wh..wh..opq": b"", "models/other.json": b"{}"}, {"other.json": b"{}"}),
        ({"models/.wh.conf": b""}, FILES),
    ],
    ids=["replaced", "hidden", "a folder anew", "a folder hidden", "everything hidden", "everything anew", "a part of a name"],
)
def test_upper_layers_hide_what_is_below(registry: RegistryStandIn, upper: dict[str, bytes], left: dict[str, bytes]) -> None:
    found = listing(registry, (IMAGE, gzip.compress(below(FILES))), (IMAGE, archive(upper)))
    assert listed(found) == hashes(left)
    config = left.get("config.json")
    assert found.texts == ({"config.json": config.decode()} if config else {})


@pytest.mark.parametrize(
    "layer",
    [entry(tarfile.SYMTYPE), entry(tarfile.LNKTYPE), entry(tarfile.CHRTYPE), entry(tarfile.FIFOTYPE)],
    ids=["symlink", "hard link", "device", "pipe"],
)
def test_what_is_no_plain_file_is_refused(registry: RegistryStandIn, layer: bytes) -> None:
    with pytest.raises(SourceUnusableError, match=r"'link' of .* is a link or another thing that is not a plain file"):
        listing(registry, (IMAGE.removesuffix("+gzip"), layer))


def test_links_elsewhere_in_an_image_do_not_matter(registry: RegistryStandIn) -> None:
    base = entry(tarfile.SYMTYPE, name="usr/bin/sh")
    assert listed(listing(registry, (IMAGE.removesuffix("+gzip"), base), (IMAGE, gzip.compress(below(FILES))))) == hashes(FILES)


def test_other_bytes_than_the_manifest_says_are_refused(registry: RegistryStandIn) -> None:
    layer = archive(FILES, compressed=False)
    reference = f"{registry.host}/{MODEL}@{registry.push_layers(MODEL, (MODELKIT.removesuffix('+gzip'), layer, {}))}"
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    registry.blobs[digest] = layer.replace(b"weights", b"Weights", 1)
    artifact = OciArtifact(reference, RegistryAccess())
    with pytest.raises(SourceMismatchError, match="sent other bytes than the manifest says"):
        read_listing(artifact, reference, artifact.layers())


@pytest.mark.parametrize("path", ["../config.json", "/etc/config.json", "a//b.json", "\udcff.json", "x" * 5000])
def test_a_name_that_pods_may_not_write_is_refused(registry: RegistryStandIn, path: str) -> None:
    with pytest.raises(HubError):
        chosen(found := listing(registry, (MODELKIT, archive({path: b"{}", "model.safetensors": b"w"}))), question(found))


def test_a_header_without_end_is_not_read_into_memory(registry: RegistryStandIn) -> None:
    member = tarfile.TarInfo("pax")
    member.type, member.size = tarfile.XHDTYPE, 8 * 1024 * 1024
    layer = member.tobuf(tarfile.USTAR_FORMAT) + bytes(8 * 1024 * 1024 + 1024)
    with pytest.raises(SourceUnusableError, match="a header of it has 8388608 bytes"):
        listing(registry, (MODELKIT, gzip.compress(layer)))


def test_of_an_image_everything_is_taken_but_what_runs_code(registry: RegistryStandIn) -> None:
    """A node mounts it as a whole, and what is there beside the list is an error."""
    files = {**FILES, "README.md": b"#", "modeling.py": b"import os", "training_args.bin": b"pickle"}
    found = listing(registry, (IMAGE, gzip.compress(below(files))))
    taken = chosen(found, question(found)).source.files or []
    assert [file.path for file in taken] == ["README.md", *FILES]
    with_code = chosen(found, question(found, python=True)).source.files or []
    assert "modeling.py" in [file.path for file in with_code]


def test_of_another_artifact_what_the_engine_needs_is_taken(registry: RegistryStandIn) -> None:
    files = {**FILES, "README.md": b"#", "modeling.py": b"import os", "training_args.bin": b"pickle"}
    found = listing(registry, (MODELKIT, archive(files)))
    answer = chosen(found, question(found))
    assert [file.path for file in answer.source.files or ()] == list(FILES)
    assert answer.source.manifest_digest == manifest_digest(answer.source.files or [])
    assert answer.texts == {"config.json": FILES["config.json"].decode()}


NAMES = st.sampled_from(["config.json", "model.safetensors", "a/b.json", "A/b.json", ".wh.a", "a/.wh..wh..opq", "..", "", "é"])
LAYER = st.tuples(
    st.sampled_from([MODELKIT, IMAGE, IMAGE_ZSTD, RAW, "application/vnd.cncf.model.weight.v1.tar+zstd"]),
    st.dictionaries(
        st.sampled_from(["", "models/", "./models/"]).flatmap(lambda p: NAMES.map(lambda n: p + n)), st.binary(max_size=60)
    ),
    st.lists(st.tuples(st.integers(0, 5000), st.binary(min_size=1, max_size=40)), max_size=3),
)


def spoilt(kind: str, files: dict[str, bytes], noise: list[tuple[int, bytes]], *, inside: bool) -> bytes:
    """An archive with noise in it, inside of its packing or outside."""
    content = bytearray(archive(files, compressed=False))
    pack: Callable[[bytes], bytes] = gzip.compress if "gzip" in kind else zstd.compress if "zstd" in kind else bytes
    packed = bytearray(pack(bytes(content)))
    target = content if inside else packed
    for where, what in noise:
        place = where % (len(target) or 1)
        target[place : place + len(what)] = what
    return pack(bytes(content)) if inside else bytes(packed)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layers=st.lists(LAYER, min_size=1, max_size=3), inside=st.booleans(), python=st.booleans())
def test_any_artifact_is_a_list_that_pods_may_write_or_an_error(
    registry: RegistryStandIn, layers: list[tuple[str, dict[str, bytes], list[tuple[int, bytes]]]], inside: bool, python: bool
) -> None:
    pushed = ((kind, spoilt(kind, files, noise, inside=inside), {TITLE: "raw.json"}) for kind, files, noise in layers)
    try:
        found = titled(registry, *pushed)
        answer = chosen(found, question(found, python=python))
    except HubError:
        return
    taken = answer.source.files or []
    assert paths_problem([file.path for file in taken]) is None
    assert answer.source.manifest_digest == manifest_digest(taken)
    assert set(answer.texts or {}) <= {file.path for file in taken}
