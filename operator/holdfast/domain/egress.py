"""Which pods may reach the sources of their files: those that fetch, and only as long as they do.

A NetworkPolicy holds for a whole pod, so the engine could go wherever the container that fetches may. Pods therefore begin with a
label that a policy selects, and lose it before their engine starts.
"""

from holdfast.domain.snapshot import PodView, Snapshot


def to_turn(snapshot: Snapshot) -> tuple[PodView, ...]:
    """Return the pods whose way out is open and should be closed, or the other way round.

    It is opened again for a pod whose containers all begin anew, as after a restart of its node. One that is not what was approved
    stays shut in.
    """
    return tuple(pod for pod in snapshot.pods if not pod.deleting and pod.way_out != (pod.fetches and pod.quarantine is None))
