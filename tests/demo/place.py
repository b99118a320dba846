"""The cluster that the demo plays on: a bed of its own, or the reader's.

On the reader's cluster the demo removes only what a demo made, which it knows by a label, and refuses to begin where something
of the same name is.
"""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from demo.hub import Upstream, upstream
from demo.narrator import Narrator
from demo.settings import BED, HUB_NAMESPACE, MADE, TEAM, ForeignCluster, SettingsError, program
from stage.installation import NAMESPACE, RELEASE, SELECTOR, Images, Installation, grant, restricted_namespace
from stage.people import Person
from stage.reach import DirectReach, ForwardReach, Reach
from stage.team import Team
from testbed import Testbed, images
from testbed.kubectl import Kubectl


@dataclass(frozen=True, slots=True)
class Place:
    """Everything that the story needs."""

    team: Team
    bot: Person
    admin: Person
    upstream: Upstream
    engine: str


@contextlib.contextmanager
def bed_place(narrator: Narrator) -> Iterator[Place]:
    """Make a cluster on this machine, or use the one that an earlier demo left, and install Holdfast."""
    bed = Testbed(BED).up()
    names = ("holdfast", "envoy", "llamacpp", "hub")
    narrator.say("building and pushing the images (kept for the next time)")
    built = {name: images.ensure(bed, name) for name in names}
    foreign = ForeignCluster(
        kubeconfig=bed.kubeconfig,
        kubectl=bed.programs.kubectl,
        helm=bed.programs.helm,
        holdfast=built["holdfast"],
        gateway=built["envoy"],
        engine=built["llamacpp"],
        hub=built["hub"],
    )
    with _installed(narrator, foreign, DirectReach(bed.kubectl), "alice", bed.user("alice")) as place:
        yield place


@contextlib.contextmanager
def foreign_place(narrator: Narrator, cluster: ForeignCluster) -> Iterator[Place]:
    """Use the reader's cluster: the reader is the owner.

    Raises:
        SettingsError: something there is not the demo's to replace, or the kubeconfig is not a person's.
    """
    kubectl = Kubectl(cluster.kubectl, cluster.kubeconfig)
    for name in (NAMESPACE, HUB_NAMESPACE, TEAM):
        if _state(kubectl, name) == "foreign":
            raise SettingsError(f"the cluster has a namespace {name} that no demo made, and a demo would replace what is in it")
    elsewhere = [
        each["metadata"]["namespace"] for each in kubectl.get("deployments", "--all-namespaces", "--selector", SELECTOR)["items"]
    ]
    if any(name != NAMESPACE for name in elsewhere):
        raise SettingsError(
            f"Holdfast runs in the cluster already, in the namespace {elsewhere[0]}; the demo would be a second one"
        )
    reader = json.loads(kubectl.run("auth", "whoami", "--output=json"))["status"]["userInfo"]["username"]
    if reader.startswith("system:serviceaccount:"):
        raise SettingsError(f"the kubeconfig is that of {reader}: the story needs a person, since service accounts cannot decide")
    reach = ForwardReach(cluster.kubectl, cluster.kubeconfig)
    with _installed(narrator, cluster, reach, reader, cluster.kubeconfig) as place:
        yield place


def foreign_down(kubeconfig: Path) -> None:
    """Remove from the reader's cluster what a demo made; the kinds stay, as after every uninstallation.

    Raises:
        SettingsError: a program is missing, or Helm failed.
    """
    kubectl = Kubectl(program("kubectl"), kubeconfig)
    made = [name for name in (TEAM, HUB_NAMESPACE, NAMESPACE) if _state(kubectl, name) == "made"]
    if TEAM in made:  # while the operator is there to take the gateway away
        kubectl.run("delete", "namespace", TEAM, "--timeout=180s", timeout=200.0)
    if NAMESPACE in made:
        command = [str(program("helm")), "uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait"]
        command += ["--kubeconfig", str(kubeconfig)]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
        if result.returncode != 0:
            raise SettingsError(f"helm uninstall failed: {result.stdout.strip()}")
    for name in made:
        kubectl.run("delete", "namespace", name, "--ignore-not-found", "--timeout=180s", timeout=200.0)


def _state(kubectl: Kubectl, namespace: str) -> Literal["absent", "made", "foreign"]:
    """Say whether a namespace exists, and whether a demo made it."""
    found = kubectl.get("namespaces", "--field-selector", f"metadata.name={namespace}")["items"]
    if not found:
        return "absent"
    label, value = MADE
    return "made" if found[0]["metadata"].get("labels", {}).get(label) == value else "foreign"


@contextlib.contextmanager
def _installed(narrator: Narrator, cluster: ForeignCluster, reach: Reach, owner: str, kubeconfig: Path) -> Iterator[Place]:
    """Install Holdfast, and bring the people of the story: `owner` is the user whom the kubeconfig is of."""
    kubectl = Kubectl(cluster.kubectl, cluster.kubeconfig)
    with tempfile.TemporaryDirectory(prefix="holdfast-demo-") as folder, upstream(kubectl, reach, cluster.hub) as hub:
        installation = Installation(
            kubectl=kubectl,
            helm=cluster.helm,
            kubeconfig=cluster.kubeconfig,
            images=Images(holdfast=cluster.holdfast, gateway=cluster.gateway, weights=cluster.holdfast),
            hub=hub.inside,
        )
        narrator.command("helm upgrade --install holdfast charts/holdfast --namespace holdfast-system --create-namespace …")
        kubectl.apply([restricted_namespace(NAMESPACE, **dict([MADE]))])
        installation.install()
        _fresh_team(kubectl, owner)
        people = [
            Person(name=name, kubeconfig=path, kubectl_program=cluster.kubectl, tell=narrator.command)
            for name, path in (
                (owner, kubeconfig),
                ("ci-bot", _bot_kubeconfig(kubectl, Path(folder))),
                ("admin", cluster.kubeconfig),
            )
        ]
        person, bot, admin = people
        team = Team(namespace=TEAM, owner=person, admin=kubectl, reach=reach)
        yield Place(team=team, bot=bot, admin=admin, upstream=hub, engine=cluster.engine)


def _fresh_team(kubectl: Kubectl, owner: str) -> None:
    """Make the team's namespace anew, with an owner, and a delivery bot whose role says `*`, as Argo CD's does."""
    kubectl.run("delete", "namespace", TEAM, "--ignore-not-found", "--timeout=120s", timeout=150.0)
    kubectl.apply([restricted_namespace(TEAM, **dict([MADE]))])
    grant(kubectl, TEAM, owner, "edit", "holdfast-owner")
    kubectl.apply(
        [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ci-bot", "namespace": TEAM}},
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "ci-bot", "namespace": TEAM},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"kind": "ServiceAccount", "name": "ci-bot", "namespace": TEAM}],
            },
        ]
    )


def _bot_kubeconfig(kubectl: Kubectl, folder: Path) -> Path:
    """Write a kubeconfig with the bot's token, readable by this user only."""
    token = kubectl.run("create", "token", "ci-bot", "--namespace", TEAM, "--duration=2h").strip()
    config = json.loads(kubectl.run("config", "view", "--raw", "--minify", "--flatten", "--output=json"))
    config["users"] = [{"name": "ci-bot", "user": {"token": token}}]
    for context in config["contexts"]:
        context["context"]["user"] = "ci-bot"
    path = folder / "ci-bot.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    return path
