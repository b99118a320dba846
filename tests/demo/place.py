"""The cluster that the demo plays on: a bed of its own, or the reader's."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.hub import Upstream, upstream
from demo.narrator import Narrator
from demo.settings import BED, TEAM, ForeignCluster
from stage.installation import Images, Installation, grant, team_namespace
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
    with _installed(narrator, foreign, DirectReach(bed.kubectl), bed.user("alice")) as place:
        yield place


@contextlib.contextmanager
def foreign_place(narrator: Narrator, cluster: ForeignCluster) -> Iterator[Place]:
    """Use the reader's cluster: the reader is the owner."""
    with _installed(narrator, cluster, ForwardReach(cluster.kubectl, cluster.kubeconfig), cluster.kubeconfig) as place:
        yield place


@contextlib.contextmanager
def _installed(narrator: Narrator, cluster: ForeignCluster, reach: Reach, owner: Path) -> Iterator[Place]:
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
        installation.install()
        _fresh_team(kubectl)
        people = [
            Person(name=name, kubeconfig=path, kubectl_program=cluster.kubectl, tell=narrator.command)
            for name, path in (
                ("alice", owner),
                ("ci-bot", _bot_kubeconfig(kubectl, Path(folder))),
                ("admin", cluster.kubeconfig),
            )
        ]
        alice, bot, admin = people
        team = Team(namespace=TEAM, owner=alice, admin=kubectl, reach=reach)
        yield Place(team=team, bot=bot, admin=admin, upstream=hub, engine=cluster.engine)


def _fresh_team(kubectl: Kubectl) -> None:
    """Make the team's namespace anew, with an owner, and a delivery bot whose role says `*`, as Argo CD's does."""
    kubectl.run("delete", "namespace", TEAM, "--ignore-not-found", "--timeout=120s", timeout=150.0)
    kubectl.apply([team_namespace(TEAM)])
    grant(kubectl, TEAM, "alice", "edit", "holdfast-owner")
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
