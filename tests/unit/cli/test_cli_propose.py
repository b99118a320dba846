"""holdfast propose, with the real Hub client against a stand-in of the Hub: another commit, shown, printed or written into a file."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import close_session

import builders
from holdfast.api.deployment import Desired, ModelDeploymentSpec, ModelDeploymentStatus
from holdfast.api.model import Model
from holdfast.api.revision import License, Recorded
from holdfast.domain.pin import declared_digest, pin_digest
from testbed.hub import HubServer
from unit.cli.api_stand_in import ApiStandIn
from unit.cli.conftest import NOW, Cli

REPO = "lab/tiny"
_OURS = "apiVersion: holdfast.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {name: support-chat}"
NAME = builders.NAME
OLD_GGUF, NEW_GGUF = b"GGUF" + b"\0" * 2000, b"GGUF" + b"\1" * 3000


@pytest.fixture
def hub(bare_cli: Cli) -> Iterator[HubServer]:
    with HubServer() as running:
        running.admin.create_repo(REPO)
        running.admin.commit(REPO, {"tiny.gguf": OLD_GGUF, "old.txt": b"old"})
        running.admin.set_card(REPO, {"license": "apache-2.0"})
        bare_cli.environ["HF_ENDPOINT"] = running.url
        yield running
    close_session()


@pytest.fixture
def pinned(hub: HubServer) -> str:
    return hub.admin.repos().repos[0].refs["refs/heads/main"]


@pytest.fixture
def head(hub: HubServer, pinned: str) -> str:
    """The branch moves on: other weights, another file, another license."""
    hub.admin.commit(REPO, {"tiny.gguf": NEW_GGUF, "old.txt": None, "new.txt": b"new"})
    return hub.admin.set_card(REPO, {"license": "other"})


def model(commit: str, **source: Any) -> dict[str, Any]:
    hugging_face = {"repository": REPO, "commit": commit, "include": ["*.gguf", "*.txt"]} | source
    return builders.model(source={"huggingFace": hugging_face}) | {
        "engine": {"type": "LlamaCpp", "image": builders.ENGINE_IMAGE, "options": {"modelFile": "tiny.gguf"}}
    }


def deploy(api: ApiStandIn, commit: str, status: dict[str, Any] | None = None, **source: Any) -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "a"}
    api.put(
        "modeldeployments",
        NAME,
        metadata={"annotations": annotations},
        spec={"model": model(commit, **source), "serving": {"replicas": 2}},
        status=status or {},
    )


def revise(api: ApiStandIn, commit: str, endpoint: str) -> dict[str, Any]:
    """Put the revision of what is declared into the cluster; return the status that names it."""
    declared = Model.parse(model(commit))
    spec = builders.revision_spec(declared, 1)
    origin = spec.model.source.hugging_face
    assert origin is not None
    source = spec.model.source.model_copy(update={"hugging_face": origin.model_copy(update={"endpoint": endpoint})})
    resolved = spec.model.model_copy(update={"source": source})
    recorded = Recorded(license=License(id="apache-2.0"), gated=False)
    spec = spec.model_copy(update={"model": resolved, "digest": pin_digest(resolved), "recorded": recorded})
    api.put("modelrevisions", f"{NAME}-1", spec=spec.wire(), status={})
    desired = Desired(declared=declared_digest(declared), digest=spec.digest, revision=1)
    return ModelDeploymentStatus(desired=desired).wire()


def test_the_manifest_is_the_one_in_the_cluster_at_another_commit(cli: Cli, api: ApiStandIn, pinned: str, head: str) -> None:
    deploy(api, pinned)
    result = cli("propose", NAME)
    assert result.code == 0, result.err
    document = yaml.safe_load(result.out)
    source = document["spec"]["model"]["source"]["huggingFace"]
    assert source.pop("manifestDigest").startswith("sha256:")
    assert document == {
        "apiVersion": "holdfast.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": NAME, "namespace": "team-a", "annotations": {"team": "a"}},
        "spec": {"model": model(head), "serving": {"replicas": 2}},
    }
    ModelDeploymentSpec.parse(document["spec"])
    assert re.search(rf"commit: {head} +# main on {NOW:%Y-%m-%d}\n", result.out)


def test_nothing_is_written_to_the_cluster(cli: Cli, api: ApiStandIn, pinned: str, head: str) -> None:
    deploy(api, pinned)
    cli("propose", NAME)
    assert {request.split()[0] for request in api.requests} == {"GET"}


def test_the_change_is_shown_beside_the_data(cli: Cli, api: ApiStandIn, pinned: str, head: str) -> None:
    deploy(api, pinned)
    shown = cli("propose", NAME, "-o", "json")
    assert json.loads(shown.out)["spec"]["model"]["source"]["huggingFace"]["commit"] == head
    for line in (pinned, head, "apache-2.0 → other", "1 changed, 1 added, 1 removed", "~ tiny.gguf", "+ new.txt", "- old.txt"):
        assert line in shown.err


def test_a_ref_is_a_branch_a_tag_or_a_commit(cli: Cli, api: ApiStandIn, hub: HubServer, pinned: str, head: str) -> None:
    hub.admin.tag(REPO, "v2", head)
    deploy(api, pinned)
    for ref in ("main", "v2", head):
        document = json.loads(cli("propose", NAME, "--ref", ref, "-o", "json").out)
        assert document["spec"]["model"]["source"]["huggingFace"]["commit"] == head


def test_what_is_pinned_already_is_no_proposal(cli: Cli, api: ApiStandIn, pinned: str) -> None:
    deploy(api, pinned)
    result = cli("propose", NAME)
    assert (result.code, result.out) == (0, "")
    assert "main is still the pinned commit" in result.err


def test_the_revision_of_what_is_declared_is_the_old_side(
    cli: Cli, api: ApiStandIn, hub: HubServer, pinned: str, head: str
) -> None:
    """Its files are known though the commit is gone upstream, and the Hub is the one that it came from."""
    del cli.environ["HF_ENDPOINT"]
    hub.admin.squash(REPO)
    deploy(api, pinned, revise(api, pinned, hub.url))
    result = cli("propose", NAME)
    assert result.code == 0, result.err
    assert "cannot be read as it was pinned" not in result.err
    assert "apache-2.0 → other" in result.err


def test_a_commit_that_is_gone_and_of_which_nothing_is_known_is_said_to_be(
    cli: Cli, api: ApiStandIn, hub: HubServer, pinned: str, head: str
) -> None:
    hub.admin.squash(REPO)
    deploy(api, pinned)
    result = cli("propose", NAME)
    assert result.code == 0, result.err
    assert "cannot be read as it was pinned, so everything looks new" in result.err


def test_a_commit_that_would_not_start_is_refused(cli: Cli, api: ApiStandIn, hub: HubServer, pinned: str) -> None:
    hub.admin.commit(REPO, {"tiny.gguf": None, "other.gguf": NEW_GGUF})
    deploy(api, pinned)
    result = cli("propose", NAME)
    assert (result.code, result.out) == (1, "")
    assert "tiny.gguf" in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--ref", "nowhere"), 3, "has no such commit, branch or tag"),
        (("--endpoint", "http://127.0.0.1:9"), 6, "cannot be reached"),
        (("--file", "x.yaml", "--apply"), 2, "leave out --apply"),
        (("--force-conflicts",), 2, "is for --apply"),
        (("--apply",), 2, "read the change, then give --yes"),
    ],
)
def test_trouble_is_one_sentence_and_an_exit_code(
    cli: Cli, api: ApiStandIn, pinned: str, head: str, arguments: tuple[str, ...], code: int, text: str
) -> None:
    deploy(api, pinned)
    result = cli("propose", NAME, *arguments)
    assert (result.code, "Traceback" in result.err) == (code, False)
    assert text in result.err


def test_no_is_an_answer(cli: Cli, api: ApiStandIn, pinned: str, head: str) -> None:
    deploy(api, pinned)
    result = cli("propose", NAME, "--apply", typed="no\n")
    assert result.code == 1
    assert "nothing was done" in result.err
    assert not any(request.startswith("PATCH") for request in api.requests)


def test_a_renamed_repository_is_not_followed(cli: Cli, api: ApiStandIn, hub: HubServer, pinned: str, head: str) -> None:
    hub.admin.rename(REPO, "other/tiny")
    deploy(api, pinned)
    result = cli("propose", NAME)
    assert (result.code, result.out) == (1, "")
    assert "is now other/tiny: check who owns it" in result.err


def test_a_manifest_that_lists_its_files_is_pinned_anew(cli: Cli, api: ApiStandIn, pinned: str, head: str) -> None:
    files = [{"path": "tiny.gguf", "size": 1, "sha256": "a" * 64}]
    deploy(api, pinned, files=files, include=None)
    result = cli("propose", NAME)
    assert result.code == 1
    assert f"holdfast pin {REPO}@main --files" in result.err


@pytest.mark.parametrize("command", [("propose", NAME), ("pin", REPO, "--image", builders.ENGINE_IMAGE)], ids=lambda one: one[0])
def test_a_token_that_no_header_can_hold_is_refused_and_never_shown(
    cli: Cli, api: ApiStandIn, pinned: str, command: tuple[str, ...]
) -> None:
    deploy(api, pinned)
    cli.environ["HF_TOKEN"] = "hf_secret\nhf_other"
    result = cli(*command, "--verbose")
    assert result.code == 2
    assert "HF_TOKEN has a space, a line end or another sign that no token has" in result.err
    assert "hf_" not in result.out + result.err
    cli.environ["HF_TOKEN"] = " \n"
    assert cli(*command).code == 0, "a token of nothing is none"


def test_what_does_not_come_from_a_hub_does_not_move(cli: Cli, api: ApiStandIn) -> None:
    oci = builders.model(source={"oci": {"reference": builders.ENGINE_IMAGE}})
    api.put("modeldeployments", NAME, spec={"model": oci}, status={})
    result = cli("propose", NAME)
    assert result.code == 1
    assert "not a repository of a Hub" in result.err


class TestFile:
    MANIFEST = """\
# The chat of the support team.
apiVersion: v1
kind: ConfigMap
metadata: {{name: support-chat}}
---
apiVersion: holdfast.dev/v1alpha1
kind: ModelDeployment   # owned by the support team
metadata:
    name: support-chat
spec:
    model:
        # ask in #models before you change this
        source:
            huggingFace:
                repository: lab/tiny
                commit: {commit}  # main on 2026-01-01
{digest}                include:
                - "*.gguf"
                - '*.txt'
        engine: {{type: LlamaCpp, image: {image}, options: {{modelFile: tiny.gguf}}}}
    serving:
        replicas: 2
"""
    DIGEST = "                manifestDigest: 'sha256:{old}'  # 2 of 4 files, 2 KB\n"

    def manifest(self, commit: str, digest: str = "") -> str:
        return self.MANIFEST.format(commit=commit, digest=digest, image=builders.ENGINE_IMAGE)

    def lines_that_differ(self, before: str, after: str) -> list[str]:
        known = before.splitlines()
        return [line.strip() for line in after.splitlines() if line not in known]

    def test_only_the_changed_values_change(self, bare_cli: Cli, tmp_path: Path, pinned: str, head: str) -> None:
        before = self.manifest(pinned, self.DIGEST.format(old="0" * 64))
        path = tmp_path / "chat.yaml"
        path.write_text(before)
        path.chmod(0o640)
        result = bare_cli("propose", NAME, "--file", str(path))
        assert result.code == 0, result.err
        commit, digest = self.lines_that_differ(before, path.read_text())
        assert commit == f"commit: {head}  # main on {NOW:%Y-%m-%d}"
        assert digest.startswith("manifestDigest: 'sha256:")
        assert "# 2 files, " in digest
        assert len(path.read_text().splitlines()) == len(before.splitlines())
        assert path.stat().st_mode & 0o777 == 0o640
        assert [each.name for each in tmp_path.iterdir()] == ["chat.yaml"]
        assert "tiny.gguf" in result.out

    def test_a_digest_that_was_not_there_is_added_below(self, bare_cli: Cli, tmp_path: Path, pinned: str, head: str) -> None:
        before = self.manifest(pinned)
        path = tmp_path / "chat.yaml"
        path.write_text(before)
        assert bare_cli("propose", NAME, "--file", str(path)).code == 0
        source = list(yaml.safe_load_all(path.read_text()))[1]["spec"]["model"]["source"]["huggingFace"]
        assert list(source) == ["repository", "commit", "manifestDigest", "include"]
        assert source["commit"] == head

    def test_remarks_of_people_stay(self, bare_cli: Cli, tmp_path: Path, pinned: str, head: str) -> None:
        path = tmp_path / "chat.yaml"
        path.write_text(self.manifest(pinned).replace("# main on 2026-01-01", "# do not touch: ticket 7"))
        assert bare_cli("propose", NAME, "--file", str(path)).code == 0
        assert f"commit: {head}  # do not touch: ticket 7" in path.read_text()

    def test_line_ends_of_windows_and_json_in_yaml_stay(self, bare_cli: Cli, tmp_path: Path, pinned: str, head: str) -> None:
        path = tmp_path / "chat.yaml"
        for text in (self.manifest(pinned).replace("\n", "\r\n"), json.dumps(list(yaml.safe_load_all(self.manifest(pinned)))[1])):
            path.write_text(text, newline="")
            assert bare_cli("propose", NAME, "--file", str(path)).code == 0
            with path.open(newline="") as file:
                after = file.read()
            assert head in after
            assert after.count("\r\n") in (0, after.count("\n"))
            yaml.safe_load_all(after)

    def test_no_cluster_is_asked(self, cli: Cli, api: ApiStandIn, tmp_path: Path, pinned: str, head: str) -> None:
        path = tmp_path / "chat.yaml"
        path.write_text(self.manifest(pinned))
        assert cli("propose", NAME, "--file", str(path)).code == 0
        assert api.requests == []

    def test_what_is_pinned_already_leaves_the_file(self, bare_cli: Cli, tmp_path: Path, pinned: str) -> None:
        path = tmp_path / "chat.yaml"
        path.write_text(self.manifest(pinned))
        result = bare_cli("propose", NAME, "--file", str(path))
        assert (result.code, path.read_text()) == (0, self.manifest(pinned))

    @pytest.mark.parametrize(
        ("content", "code", "text"),
        [
            (None, 3, "cannot read"),
            ("kind: [", 1, "is not YAML"),
            ("kind: ConfigMap\n", 3, "has no ModelDeployment 'support-chat'"),
            ("twice", 3, "2 times the ModelDeployment"),
            (_OURS, 1, "spec.model: it must be an object with fields"),
            (f"{_OURS}\nspec: [1]", 1, "spec.model: it must be an object with fields"),
            (f"{_OURS}\nspec: {{model: {{source: 7, engine: {{}}}}}}", 1, "spec.model.source: it must be an object with fields"),
            (
                f"{_OURS}\nspec: {{model: {{source: {{}}, engine: {{}}}}}}",
                1,
                "a source is exactly one of huggingFace, oci and volume",
            ),
            (f"{_OURS}\nspec: {{model: {{modle: 1}}}}", 1, "spec.model.source: it is missing"),
            ("nested", 1, "is nested too deeply"),
            ("binary", 3, "it is not UTF-8"),
            ("anchored", 1, "write the commit itself there"),
        ],
    )
    def test_trouble_leaves_the_file(
        self, bare_cli: Cli, tmp_path: Path, pinned: str, head: str, content: str | None, code: int, text: str
    ) -> None:
        path = tmp_path / "chat.yaml"
        manifest = self.manifest(pinned)
        content = {"nested": "[" * 600 + "]" * 600, "binary": "\udcff"}.get(str(content), content)
        if content == "twice":
            content = f"{manifest}---\n{manifest}"
        elif content == "anchored":
            content = manifest.replace("serving:", f"x: &pin {pinned}\n    serving:").replace(f"commit: {pinned}", "commit: *pin")
            content = content.replace(f"    x: &pin {pinned}\n", "").replace("spec:\n", f"x-pin: &pin {pinned}\nspec:\n")
        if content is not None:
            path.write_text(content, errors="surrogateescape")
        result = bare_cli("propose", NAME, "--file", str(path))
        assert (result.code, "Traceback" in result.err) == (code, False)
        assert text in result.err
        assert not re.search("Input should|Extra inputs|instance of|codec", result.err), "the words of a library"
        assert content is None or path.read_text(errors="surrogateescape") == content
