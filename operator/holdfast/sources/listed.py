"""Sources whose list of files came with the manifest, or lies on the volume itself: nobody is asked for anything."""

import hmac

from holdfast.api.found import Found, Question
from holdfast.api.manifest import MANIFEST_MAX_BYTES, manifest_bytes, manifest_digest, paths_problem
from holdfast.api.model import File
from holdfast.api.revision import ResolvedHuggingFace, ResolvedOci, ResolvedSource, ResolvedVolume
from holdfast.sources.hub_errors import SourceMismatchError, SourceUnusableError
from holdfast.sources.selection import PYTHON


def resolve(question: Question, endpoint: str) -> Found:
    """Return the source as it is declared.

    Args:
        question: a source with a list of files, or a volume.
        endpoint: the Hub that pods fetch repositories from.

    Raises:
        SourceUnusableError: the list is not one that pods may write, or is missing.
        SourceMismatchError: it has another digest than the declared one.
    """
    source = question.source
    if (hub := source.hugging_face) is not None:
        if hub.include is not None:
            raise SourceUnusableError("write include or files, not both: a list of files needs no patterns")
        origin = ResolvedHuggingFace(endpoint=endpoint, repository=hub.repository, commit=hub.commit)
        digest = _checked(hub.files, hub.manifest_digest, question)
        return Found(source=ResolvedSource(hugging_face=origin, manifest_digest=digest, files=hub.files))
    if (oci := source.oci) is not None:
        digest = _checked(oci.files, oci.manifest_digest, question)
        return Found(source=ResolvedSource(oci=ResolvedOci(reference=oci.reference), manifest_digest=digest, files=oci.files))
    volume = source.volume
    if volume is None:
        raise SourceUnusableError("a source is one of huggingFace, oci and volume")
    if volume.files is not None:
        _checked(volume.files, volume.manifest_digest, question)
    return Found(
        source=ResolvedSource(
            volume=ResolvedVolume(claim_name=volume.claim_name, path=volume.path),
            manifest_digest=volume.manifest_digest,
            files=volume.files,
        )
    )


def _checked(files: list[File] | None, expected: str | None, question: Question) -> str:
    """Return the digest of a list that pods may write."""
    if files is None:
        raise SourceUnusableError("its list of files is missing; write files")
    paths = [file.path for file in files]
    problem = paths_problem(paths)
    if problem is None and paths != sorted(paths):
        problem = "its files are not in ascending order of path"
    if problem:
        raise SourceUnusableError(f"files: {problem}; holdfast pin --files writes them")
    code = next((path for path in paths if PYTHON.fullmatch(path)), None)
    if code is not None and not question.python:
        raise SourceUnusableError(
            f"files: {code!a} is Python code, which runs in the engine; write remoteCode: Pinned, or leave it out"
        )
    if len(manifest_bytes(files)) > MANIFEST_MAX_BYTES:
        raise SourceUnusableError(f"files: the list is longer than {MANIFEST_MAX_BYTES} bytes")
    digest = manifest_digest(files)
    if expected is not None and not hmac.compare_digest(digest, expected):
        raise SourceMismatchError(f"files have the digest {digest}, but manifestDigest says {expected}")
    return digest
