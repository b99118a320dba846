"""``holdfast propose``."""

from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from holdfast.cli.commands.pin import ManifestForm
from holdfast.cli.endpoints import hub_of
from holdfast.cli.exits import CommandError, ExitCode
from holdfast.cli.options import Context, Kubeconfig, Name, Namespace, Verbose, Yes
from holdfast.cli.session import session_of
from holdfast.cli.terminal import Output, Terminal

if TYPE_CHECKING:
    from holdfast.api.model import Model
    from holdfast.cli.cluster import Cluster
    from holdfast.cli.objects import Deployment
    from holdfast.cli.proposing import Known, Proposal
    from holdfast.cli.session import Session

_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

EXAMPLES: Final = (
    "holdfast propose support-chat",
    "holdfast propose support-chat --ref v1.1 | kubectl apply -f -",
    "holdfast propose support-chat --file deploy/support-chat.yaml",
    "holdfast propose support-chat --apply",
)


def propose(
    ctx: typer.Context,
    name: Name,
    ref: Annotated[str, typer.Option("--ref", metavar="REF", help="Branch, tag or commit of the model's repository.")] = "main",
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="PATH",
            show_default=False,
            help="Change the ModelDeployment in this file, such as in Git, instead of printing one; no cluster is asked.",
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Change the commit in the cluster, after a question.", show_default=False)
    ] = False,
    force_conflicts: Annotated[
        bool,
        typer.Option(
            "--force-conflicts", help="With --apply: take the fields over from the tool that manages them.", show_default=False
        ),
    ] = False,
    yes: Yes = False,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint",
            metavar="URL",
            show_default=False,
            help="URL of the Hub; without it HF_ENDPOINT, else the one that the model came from.",
        ),
    ] = None,
    output: Annotated[ManifestForm, typer.Option("--output", "-o", help="Form of the printed manifest.")] = ManifestForm.YAML,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    verbose: Verbose = False,
) -> None:
    """Turn what is published upstream now into a change, and show what it would change.

    Resolves the ref to a commit and compares it with the pinned one: files, chat template, sampling defaults, license. Prints the
    changed manifest and writes nothing, unless --file or --apply says where to. A changed commit is a request: nothing runs before
    its owner approves it. The token in HF_TOKEN opens gated and private repositories.
    """
    if file is not None and (apply or context or kubeconfig):
        raise CommandError(
            "--file changes a file and asks no cluster: leave out --apply, --context and --kubeconfig", ExitCode.USAGE
        )
    if force_conflicts and not apply:
        raise CommandError("--force-conflicts is for --apply", ExitCode.USAGE)
    session = session_of(ctx, verbose=verbose)
    if file is not None:
        _in_file(session, name, ref, file, endpoint)
        return
    with session.cluster(kubeconfig=kubeconfig, context=context, namespace=namespace) as cluster:
        _in_cluster(session, cluster, name, ref, endpoint, apply=apply, force=force_conflicts, yes=yes, output=output)


def _in_file(session: "Session", name: str, ref: str, path: Path, endpoint: str | None) -> None:
    from holdfast.cli import manifest_file, proposing

    found = manifest_file.read(path, name)
    model = proposing.declared_model(found.document.get("spec"), str(path))
    proposal = _proposal(session, name, model, ref, endpoint, None)
    if proposal is None:
        return
    text = found.changed(proposal.after, _remarks(session, proposal))
    _show(session.terminal, name, proposal)
    found.write(text)
    session.terminal.line()
    session.terminal.line(f"changed {path}: commit {proposal.after.commit}")


def _in_cluster(
    session: "Session",
    cluster: "Cluster",
    name: str,
    ref: str,
    endpoint: str | None,
    *,
    apply: bool,
    force: bool,
    yes: bool,
    output: ManifestForm,
) -> None:
    from holdfast.cli import objects, proposing

    raw = cluster.deployment(name)
    model = proposing.declared_model(raw.get("spec"), f"the ModelDeployment {name}")
    known, origin = _known(cluster, objects.deployment(raw), model)
    proposal = _proposal(session, name, model, ref, endpoint or session.environ.get("HF_ENDPOINT") or origin, known)
    if proposal is None:
        return
    if not apply:
        _show(session.terminal.aside(), name, proposal)
        _print(session, raw, proposal, output)
        return
    _show(session.terminal, name, proposal)
    session.terminal.line()
    if not yes:
        question = f"To ask the owner of {name} for this change, type yes: "
        if session.terminal.ask(question, "read the change, then give --yes").lower() != "yes":
            raise CommandError("not confirmed; nothing was done")
    cluster.apply_deployment(name, proposing.patch(raw, proposal.after), force=force)
    session.terminal.line(
        f"changed: nothing runs before its owner approves; see {session.program} diff {name} -n {cluster.namespace}"
    )


def _known(cluster: "Cluster", found: "Deployment", model: "Model") -> tuple["Known | None", str | None]:
    """Return the declared model as its revision has it, and the Hub it came from."""
    from holdfast.cli import objects
    from holdfast.cli.proposing import Known
    from holdfast.domain.pin import declared_digest

    desired = found.status.desired
    if desired is None or desired.declared != declared_digest(model):
        return None, None
    spec = objects.revision_of(cluster, found.name, desired.revision, desired.digest).spec
    origin = spec.model.source.hugging_face
    return Known(model=spec.model, recorded=spec.recorded), origin.endpoint if origin is not None else None


def _proposal(
    session: "Session", name: str, model: "Model", ref: str, endpoint: str | None, known: "Known | None"
) -> "Proposal | None":
    import asyncio

    from holdfast.cli import proposing

    hub = hub_of(endpoint, session.environ)
    with session.terminal.progress(f"asking {hub} what {ref} means now"):
        found = asyncio.run(proposing.propose(name, model, ref, endpoint=hub, environ=session.environ, known=known))
    if found is None and model.source.hugging_face is not None:
        session.terminal.note(f"nothing to propose: {ref} is still the pinned commit {model.source.hugging_face.commit}")
    return found


def _show(page: Terminal, name: str, proposal: "Proposal") -> None:
    from holdfast.cli import comparison

    page.line(f"{name}: what {proposal.ref} of {proposal.before.repository} would change", style="bold")
    page.pairs([("pinned", proposal.before.commit), (f"{proposal.ref} is", proposal.after.commit), *_beside(proposal)], indent=2)
    page.line()
    if proposal.old is None:
        page.line("the pinned commit cannot be read as it was pinned, so everything looks new", style="yellow")
    old = proposal.old.model if proposal.old is not None else None
    comparison.show_changes(page, comparison.changes(old, proposal.new.model))


def _beside(proposal: "Proposal") -> list[tuple[str, str]]:
    """Return what is not identity and may matter all the more."""

    def facts(known: "Known | None") -> dict[str, str]:
        recorded = known.recorded if known is not None else None
        if recorded is None:
            return {}
        licensed = recorded.license.id if recorded.license is not None and recorded.license.id else "none in the card"
        gated = {None: "unknown", True: "yes", False: "no"}[recorded.gated]
        return {"license": licensed, "gated": gated}

    old, new = facts(proposal.old), facts(proposal.new)
    return [
        (field, value if old.get(field, value) == value else f"{old[field]} → {value}: check that this is what you may use")
        for field, value in new.items()
    ]


def _print(session: "Session", raw: dict[str, Any], proposal: "Proposal", output: ManifestForm) -> None:
    from holdfast.cli import proposing
    from holdfast.cli.manifest import Remarks, yaml_text

    meta = {field: raw["metadata"][field] for field in ("name", "namespace", "labels", "annotations") if field in raw["metadata"]}
    annotations = {key: value for key, value in meta.pop("annotations", {}).items() if key != _LAST_APPLIED}
    document = {
        "apiVersion": raw["apiVersion"],
        "kind": raw["kind"],
        "metadata": {**meta, **({"annotations": annotations} if annotations else {})},
        "spec": raw["spec"],
    }
    proposing.put(document, proposal.after)
    if output is ManifestForm.JSON:
        session.terminal.data(document, Output.JSON)
        return
    remarks = _remarks(session, proposal)
    head = f"proposed by holdfast from {proposal.before.repository}@{remarks['commit']}"
    told = Remarks(head=(head,), version=remarks["commit"], manifest_digest=remarks["manifestDigest"], include="", image="")
    session.terminal.raw(yaml_text(document, told))


def _remarks(session: "Session", proposal: "Proposal") -> dict[str, str]:
    from holdfast.cli import words

    today = session.now().astimezone(UTC).strftime("%Y-%m-%d")
    files = proposal.new.model.source.files or []
    return {
        "commit": f"{proposal.ref} on {today}",
        "manifestDigest": f"{len(files)} files, {words.size(sum(file.size for file in files))}",
    }
