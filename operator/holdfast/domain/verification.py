"""Who is still to be told that somebody asked for all bytes to be hashed anew. It starts, stops and changes nothing."""

from holdfast.domain.snapshot import PodView, Snapshot


def untold(snapshot: Snapshot) -> tuple[PodView, ...]:
    """Return the engine pods that do not know the word yet with which their ModelDeployment was asked."""
    word = snapshot.deployment.verify
    if word is None:
        return ()
    return tuple(pod for pod in snapshot.pods if pod.verify != word and not pod.deleting)
