"""``holdfast pin``."""

import re
from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from holdfast.cli.endpoints import Endpoint, hub_of
from holdfast.cli.options import Verbose, object_name
from holdfast.cli.session import session_of
from holdfast.cli.terminal import Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.cli.manifest import Remarks
    from holdfast.cli.pinning import Pinned, Wanted
    from holdfast.cli.session import Session

_MOMENT_SECONDS: Final = 0.2
_LINE_SECONDS: Final = 10.0
_ACCELERATOR: Final = ("on GPUs:", "serving: {accelerator: {resource: nvidia.com/gpu, count: 1}}")
_ENGINES: Final = ("VLLM", "TGI", "SGLang", "LlamaCpp")


class ManifestForm(StrEnum):
    """Forms of a manifest."""

    YAML = "yaml"
    JSON = "json"


def _engine(value: str | None) -> str | None:
    """Accept an engine however its letters are cased."""
    if value is None:
        return None
    for name in _ENGINES:
        if name.lower() == value.lower():
            return name
    raise typer.BadParameter(f"{value!r} is none of {', '.join(_ENGINES)}")


def _repository(value: str) -> str:
    if value.startswith("oci://") and len(value) > len("oci://"):
        return value
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@.+)?", value, re.ASCII):
        raise typer.BadParameter(f"{value!r} is not OWNER/NAME or OWNER/NAME@REF")
    return value


EXAMPLES: Final = (
    "holdfast pin Qwen/Qwen2.5-7B-Instruct --image docker.io/vllm/vllm-openai:v0.11.0",
    "holdfast pin Qwen/Qwen2.5-7B-Instruct-GGUF@main --file qwen2.5-7b-instruct-q5_k_m.gguf",
    "holdfast pin Qwen/Qwen2.5-7B-Instruct --name support-chat -n team-a | kubectl apply -f -",
    "holdfast pin Qwen/Qwen2.5-7B-Instruct --files | kubectl apply -f -",
    "holdfast pin oci://registry.example/models/chat:v1 --image docker.io/vllm/vllm-openai:v0.11.0",
)


def _name(value: str | None) -> str | None:
    from holdfast.cli import naming

    found = naming.problem(value) if value is not None else None
    if found:
        raise typer.BadParameter(f"{value!r}: {found}")
    return value


def pin(
    ctx: typer.Context,
    repository: Annotated[
        str,
        typer.Argument(
            metavar="REPO[@REF]",
            callback=_repository,
            show_default=False,
            help="Repository on the Hub, and a branch, tag or commit of it; without one, the branch main. Or oci:// and an artifact.",
        ),
    ],
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            callback=_engine,
            metavar="|".join(_ENGINES),
            show_default=False,
            help="Inference engine; without it LlamaCpp for a repository of .gguf files, else VLLM.",
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="NAME:TAG|NAME@DIGEST",
            show_default=False,
            help="Engine image; a tag is resolved to its digest. Without it, the newest that the engine's project publishes.",
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="PATH", show_default=False, help="The .gguf file to load, when there are several."),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include", metavar="PATTERN", show_default=False, help="Take only the files that match; repeat it for more."
        ),
    ] = None,
    files: Annotated[
        bool,
        typer.Option(
            "--files",
            help="Write the list of files, the chat template and all other values into the manifest: then the cluster needs no Hub"
            " to propose it.",
        ),
    ] = False,
    remote_code: Annotated[
        bool,
        typer.Option(
            "--remote-code",
            help="Let Python code of the repository run in the engine, and pin the code of other repositories that it names.",
        ),
    ] = False,
    allow_clock: Annotated[
        bool, typer.Option("--allow-clock", help="Accept a chat template that writes today's date into each prompt.")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            callback=_name,
            show_default=False,
            help="Name of the ModelDeployment; without it, made from the repository's.",
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            metavar="NAMESPACE",
            callback=object_name,
            show_default=False,
            help="Namespace to write into the manifest.",
        ),
    ] = None,
    endpoint: Endpoint = None,
    output: Annotated[
        ManifestForm, typer.Option("--output", "-o", help="Form of the manifest; JSON has no remarks.")
    ] = ManifestForm.YAML,
    verbose: Verbose = False,
) -> None:
    """Print a ready, pinned ModelDeployment.

    Asks the Hub for the commit and the hash of each file, and the registry for the image's digest. Nothing is written to a
    cluster. The token in HF_TOKEN opens gated and private repositories; private images and artifacts use ~/.docker/config.json.

    An artifact with archives (ModelKit, image) is read once as a whole, because nothing else says what is in them; its list of
    files is always written into the manifest. It is hashed as it streams by and not kept.
    """
    import asyncio

    from holdfast.api.model import EngineType
    from holdfast.cli import pinning
    from holdfast.cli.manifest import manifest, yaml_text

    session = session_of(ctx, verbose=verbose)
    asked_repository, _, ref = (repository, "", "") if repository.startswith(pinning.ARTIFACT) else repository.partition("@")
    wanted = pinning.Wanted(
        repository=asked_repository,
        ref=ref or "main",
        engine=EngineType(engine) if engine else None,
        image=image,
        file=file,
        include=include or [],
        name=name,
        files=files,
        remote_code=remote_code,
        allow_clock=allow_clock,
        endpoint=hub_of(endpoint, session.environ),
    )
    with session.terminal.progress(f"asking {_whom(wanted)} about {repository}") as tell:
        pinned = asyncio.run(pinning.pin(wanted, session.environ, watch=_watch(session, repository, tell)))
    document = manifest(pinned.name, namespace, pinned.spec)
    if output is ManifestForm.JSON:
        session.terminal.data(document, Output.JSON)
    else:
        session.terminal.raw(yaml_text(document, _remarks(wanted, pinned, session.now().astimezone(UTC).strftime("%Y-%m-%d"))))


def _whom(wanted: "Wanted") -> str:
    from holdfast.cli.pinning import ARTIFACT

    artifact = wanted.repository.startswith(ARTIFACT)
    return wanted.repository.removeprefix(ARTIFACT).partition("/")[0] if artifact else wanted.endpoint


def _watch(session: "Session", repository: str, tell: "Callable[[str], None]") -> "Callable[[int, int], None]":
    """Return what tells, now and then, how much of an artifact was read."""
    from holdfast.cli import words

    pause = _MOMENT_SECONDS if session.terminal.shows_moments else _LINE_SECONDS
    last: float | None = None

    def watch(done: int, total: int) -> None:
        nonlocal last
        now = session.monotonic()
        if last is None or now - last >= pause:
            last = now
            tell(f"reading the archives of {repository} for what is in them: {words.size(done)} of {words.size(total)}")

    return watch


def _asked(wanted: "Wanted", pinned: "Pinned", today: str) -> str:
    """Return what the person named, where that is not the version itself."""
    if pinned.source.oci is not None:
        return "" if "@" in wanted.repository else f"{wanted.repository} on {today}"
    return f"{wanted.ref} on {today}" if wanted.ref != pinned.version else ""


def _remarks(wanted: "Wanted", pinned: "Pinned", today: str) -> "Remarks":
    """Return what the manifest tells its reader about where its values come from."""
    from holdfast.api.model import EngineType
    from holdfast.cli import words
    from holdfast.cli.manifest import Remarks

    files = pinned.source.files or []
    asked = "by digest" if pinned.image.asked.digest else f"{pinned.image.asked.tag} on {today}"
    platforms = f" ({', '.join(one.platform for one in pinned.image.platforms)})" if pinned.image.platforms else ""
    return Remarks(
        head=(f"pinned by holdfast on {today} from {_whom(wanted)}",),
        version=_asked(wanted, pinned, today),
        manifest_digest=f"{len(files)} of {pinned.listed} files, {words.size(sum(file.size for file in files))}",
        include=pinned.choice.why,
        image=f"{asked}{platforms}",
        foot=_ACCELERATOR if pinned.choice.engine is not EngineType.LLAMA_CPP else (),
    )
