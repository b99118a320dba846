"""From a declared repository and commit to exact files: what is taken, what is in it, and the sha256 of every byte."""

import hashlib
import hmac
import itertools
import re
from collections.abc import Sequence
from typing import Final

from holdfast.api.found import Found, Question
from holdfast.api.manifest import FILES_MAX, MANIFEST_MAX_BYTES, manifest_bytes, manifest_digest, paths_problem
from holdfast.api.model import File, HuggingFaceSource
from holdfast.api.revision import LicenseFile, ResolvedHuggingFace, ResolvedSource
from holdfast.sources import hub_records
from holdfast.sources.hub_client import HubClient, RepositoryFile
from holdfast.sources.hub_errors import HubError, SourceMismatchError, SourceUnusableError
from holdfast.sources.selection import choose

_LISTED_MAX: Final = 100_000  # entries of a repository, before `include` chooses
_PLAIN_FILE_MAX_BYTES: Final = 16 * 1024 * 1024
_PLAIN_TOTAL_MAX_BYTES: Final = 64 * 1024 * 1024
TEXT_MAX_BYTES: Final = 8 * 1024 * 1024
_ASIDE_MAX_BYTES: Final = 1024 * 1024
"""Of a card or a file with terms, which are read though no pod gets them."""
TEXTS: Final = re.compile(
    r"config\.json|generation_config\.json|tokenizer_config\.json|chat_template\.(jinja|json)|additional_chat_templates/[^/]+\.jinja"
    r"|(video_)?(pre)?processor_config\.json|adapter_config\.json"
)
"""What says how a model is used; at the top of the repository."""


def resolve(client: HubClient, question: Question, source: HuggingFaceSource) -> Found:
    """Return the exact files of a declared repository.

    Plain git files, for which the Hub has no sha256, are read (16 MiB each and 64 MiB together at most), compared with git's
    hash of them, and hashed. So are the files that say how a model is used, and the terms.

    Raises:
        HubError: with the `Reason` to show.
    """
    description = client.describe(source.repository, source.commit)
    if description.commit != source.commit:
        raise SourceMismatchError(f"{client.endpoint} answered with commit {description.commit} instead of {source.commit}")
    listed = list_files(client, source.repository, source.commit)
    chosen = _chosen(listed, question, source)
    reader = _Reader(client, source)
    hashed, texts = [], {}
    for file in chosen:
        sha256, text = reader.read(file)
        hashed.append(File(path=file.path, size=file.size, sha256=sha256))
        if text is not None:
            texts[file.path] = text
    resolved = _resolved(client.endpoint, source, hashed)
    beside = {one.path: reader.aside(one) for one in listed if hub_records.TERMS.fullmatch(one.path)}
    card = next((reader.aside_text(one) for one in listed if one.path == hub_records.CARD), None)
    return Found(
        source=resolved,
        texts=texts,
        recorded=hub_records.recorded(
            client,
            listed,
            description,
            repository=source.repository,
            commit=source.commit,
            card=card,
            terms=(LicenseFile(path=path, sha256=sha256) for path, sha256 in sorted(beside.items()) if sha256),
        ),
    )


def list_files(client: HubClient, repository: str, commit: str) -> list[RepositoryFile]:
    """Return all files of a commit, ordered by path.

    Raises:
        SourceUnusableError: there are too many to look at.
    """
    files = list(itertools.islice(client.files(repository, commit), _LISTED_MAX + 1))
    if len(files) > _LISTED_MAX:
        raise SourceUnusableError(f"{repository} has more than {_LISTED_MAX} files")
    return sorted(files, key=lambda file: file.path)


def _resolved(endpoint: str, source: HuggingFaceSource, hashed: list[File]) -> ResolvedSource:
    if len(manifest_bytes(hashed)) > MANIFEST_MAX_BYTES:
        raise SourceUnusableError(
            f"{source.repository}: the list of its {len(hashed)} files is longer than {MANIFEST_MAX_BYTES} bytes;"
            " name the files that the engine needs in include"
        )
    digest = manifest_digest(hashed)
    if source.manifest_digest and not hmac.compare_digest(digest, source.manifest_digest):
        raise SourceMismatchError(
            f"{source.repository} at {source.commit} has the file list {digest}, but manifestDigest says {source.manifest_digest}"
        )
    return ResolvedSource(
        hugging_face=ResolvedHuggingFace(endpoint=endpoint, repository=source.repository, commit=source.commit),
        manifest_digest=digest,
        files=hashed,
    )


def _chosen(listed: Sequence[RepositoryFile], question: Question, source: HuggingFaceSource) -> list[RepositoryFile]:
    where = f"{source.repository} at {source.commit}"
    chosen = choose(
        listed, include=source.include, taking=question.taking, python=question.python, file=question.file, where=where
    )
    problem = paths_problem([file.path for file in chosen])
    if problem:
        raise SourceUnusableError(f"{where}: {problem}; name the files that the engine needs in include (at most {FILES_MAX})")
    for file in chosen:
        if file.sha256 is None and file.size > _PLAIN_FILE_MAX_BYTES:
            raise SourceUnusableError(f"{file.path!a} is a plain git file of {file.size} bytes: too large to hash it beforehand")
    if sum(file.size for file in chosen if file.sha256 is None) > _PLAIN_TOTAL_MAX_BYTES:
        raise SourceUnusableError(
            f"{source.repository}: its plain git files are more than {_PLAIN_TOTAL_MAX_BYTES} bytes together;"
            " name the files that the engine needs in include"
        )
    return chosen


class _Reader:
    """Reads files of one commit, each against what the Hub lists of it."""

    def __init__(self, client: HubClient, source: HuggingFaceSource) -> None:
        self._client = client
        self._source = source
        self._read: dict[str, tuple[str, bytes]] = {}

    def read(self, file: RepositoryFile) -> tuple[str, str | None]:
        """Return the sha256 of a file, and its text if it says how a model is used."""
        told = TEXTS.fullmatch(file.path) is not None
        if told and file.size > TEXT_MAX_BYTES:
            raise SourceUnusableError(f"{file.path!a} has {file.size} bytes: too large for what it is")
        if file.sha256 is not None and not told:
            return file.sha256, None
        sha256, content = self._content(file)
        if not told:
            return sha256, None
        try:
            return sha256, content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise SourceUnusableError(f"{file.path!a} of {self._source.repository} is not text in UTF-8") from error

    def aside(self, file: RepositoryFile) -> str | None:
        """Return the sha256 of a file that is only recorded; None when it cannot be had."""
        if file.sha256 is not None:
            return file.sha256
        content = self._aside(file)
        return hashlib.sha256(content).hexdigest() if content is not None else None

    def aside_text(self, file: RepositoryFile) -> str | None:
        """Return the text of a file that is only recorded; None when it cannot be had."""
        content = self._aside(file)
        return content.decode("utf-8", "replace") if content is not None else None

    def _aside(self, file: RepositoryFile) -> bytes | None:
        if file.size > _ASIDE_MAX_BYTES:
            return None
        try:
            with self._client.errors():
                return self._content(file)[1]
        except HubError:
            return None

    def _content(self, file: RepositoryFile) -> tuple[str, bytes]:
        """Return a file's sha256 and bytes after comparing them with what the Hub lists.

        git's hash of a plain file is the sha1 over ``blob SIZE NUL`` and the bytes; of a large one the Hub lists the sha256.
        """
        if file.path in self._read:
            return self._read[file.path]
        content = bytearray()
        with self._client.open(self._source.repository, self._source.commit, file.path) as response:
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > file.size:
                    break
        sha256 = hashlib.sha256(content).hexdigest()
        if file.sha256 is None:
            found = hashlib.sha1(b"blob %d\0" % file.size + content, usedforsecurity=False).hexdigest()
            expected, kind = file.blob, "git blob"
        else:
            found, expected, kind = sha256, file.sha256, "sha256"
        if len(content) != file.size or not hmac.compare_digest(found, expected):
            raise SourceMismatchError(
                f"{file.path!a}: the Hub lists {file.size} bytes of {kind} {expected} and sent"
                f" {'more' if len(content) > file.size else len(content)} bytes of {found}"
            )
        self._read[file.path] = sha256, bytes(content)
        return self._read[file.path]
