"""``python -m demo``: play the demo, or end its cluster."""

import argparse
import sys
import tempfile
from pathlib import Path

from demo.narrator import Narrator
from demo.place import bed_place, foreign_down, foreign_place
from demo.settings import BED, NAME, TEAM, SettingsError, foreign_cluster, foreign_kubeconfig
from demo.story import Story, StoryError
from stage.installation import InstallationError
from stage.traffic import Counts
from testbed import Testbed
from testbed.errors import TestbedError
from testbed.images import ImageError

_DESCRIPTION = "Watch Holdfast do its job on a real cluster."
_EPILOG = """\
Without HOLDFAST_KUBECONFIG a single-node Kubernetes is made on this machine (Linux, root, Go) and stays afterwards.
With it, the demo runs on that cluster, with the images that HOLDFAST_IMAGE, HOLDFAST_GATEWAY_IMAGE,
HOLDFAST_ENGINE_IMAGE and HOLDFAST_DEMO_HUB_IMAGE name by digest. It makes the namespaces holdfast-system, demo-hub and
team-a there, and does not begin if one of them exists and is not a demo's.

examples:
  make demo
  make demo-down
  python -m testbed.images --push registry.example/holdfast holdfast envoy llamacpp hub
  HOLDFAST_KUBECONFIG=~/.kube/config HOLDFAST_IMAGE=registry.example/holdfast/holdfast@sha256:… … make demo
  HOLDFAST_KUBECONFIG=~/.kube/config make demo-down
"""


def main(arguments: list[str] | None = None) -> int:
    """Play, and return the exit status: 0 if every step was seen to happen."""
    parser = argparse.ArgumentParser(
        "python -m demo", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--down", action="store_true", help="end the cluster that a demo left running; on a cluster of yours, remove what it made"
    )
    options = parser.parse_args(arguments)
    narrator = Narrator()
    try:
        if options.down:
            _down(narrator)
            return 0
        counts = _play(narrator)
    except (StoryError, TimeoutError, AssertionError) as error:
        narrator.failed(str(error))
        return 1
    except (SettingsError, TestbedError, ImageError, InstallationError) as error:
        narrator.failed(f"the demo could not be set up: {error}")
        return 2
    _close(narrator, counts)
    return 0 if counts.failed == 0 else 1


def _down(narrator: Narrator) -> None:
    kubeconfig = foreign_kubeconfig()
    if kubeconfig is None:
        Testbed(BED).down()
        narrator.happened("the demo's cluster is gone")
        return
    foreign_down(kubeconfig)
    narrator.happened(f"what the demo made on the cluster of {kubeconfig} is gone; Holdfast's kinds stay")


def _play(narrator: Narrator) -> Counts:
    foreign = foreign_cluster()
    narrator.chapter("A real cluster with Holdfast" if foreign is None else f"Holdfast on the cluster of {foreign.kubeconfig}")
    place = bed_place(narrator) if foreign is None else foreign_place(narrator, foreign)
    with place as found, tempfile.TemporaryDirectory(prefix="holdfast-demo-") as folder:
        narrator.happened("the operator, its guards and an upstream Hub are running")
        return Story(found, narrator, Path(folder)).play()


def _close(narrator: Narrator, counts: Counts) -> None:
    narrator.chapter("The end")
    by = ", ".join(f"{count} by revision {name}" for name, count in sorted(counts.by_revision.items()))
    narrator.happened(f"{counts.sent} requests sent, {counts.failed} failed, answered {by}")
    narrator.say("Where to look next:")
    foreign = foreign_kubeconfig()
    narrator.command(f"export KUBECONFIG={foreign or Testbed.attach(BED).kubeconfig}")
    narrator.command(f".venv/bin/holdfast status {NAME} --namespace {TEAM} --watch")
    narrator.command(f"kubectl get modelrevisions.holdfast.dev,modelapprovals.holdfast.dev --namespace {TEAM}")
    narrator.say(
        "docs/architecture.md walks through what you saw, file by file. `make demo-down` "
        f"{'ends the cluster' if foreign is None else 'with HOLDFAST_KUBECONFIG set removes it all'}."
    )


if __name__ == "__main__":
    sys.exit(main())
