"""The story: each line of it is something that just happened, or the demo fails."""

import re
import time
from pathlib import Path

import aiohttp
import yaml

from demo.narrator import Narrator
from demo.place import Place
from demo.settings import NAME, TEAM
from stage.people import Outcome
from stage.traffic import Counts, Traffic, ask_once
from stage.wait import until
from testbed.errors import TestbedError

ROLLOUT = {"steps": [{"weight": 5, "holdSeconds": 8}, {"weight": 25, "holdSeconds": 8}, {"weight": 50, "holdSeconds": 8}]}
_REPLICAS = 2
_NOT_ALLOWED = 5
"""Exit code of `holdfast` when the caller was refused."""
_BOTS = "a service account cannot decide"
_DENIED = "denied request"
"""What the API server says when a guard refused, and not when something else went wrong."""
_SHARE_TOLERANCE = 0.06
"""By how much the measured share of users may miss a step: a few hundred users are placed by a hash."""
_COUNTING_SECONDS = 240.0
"""For the requests that a share is measured by: six seconds, and longer where the engine shares its processors."""
_FALLBACK_SECONDS = 1.0
"""Within this time after the decision every gateway pod must obey it."""


class StoryError(Exception):
    """A step did not go as it must; the text says what was seen instead."""


class Story:
    """Plays the demo."""

    def __init__(self, place: Place, narrator: Narrator, folder: Path) -> None:
        self._place = place
        self._team = place.team
        self._tell = narrator
        self._manifest = folder / f"{NAME}.yaml"

    def play(self) -> Counts:
        """Play every step; return the counts of all requests.

        Raises:
            StoryError: a step failed.
        """
        self._pin()
        self._nothing_without_approval()
        self._bots_are_refused()
        self._approve_the_first()
        with self._team.traffic(NAME, per_second=80.0) as traffic:
            self._upstream_moves(traffic)
            self._guards_hold(traffic)
            self._canary(traffic)
            self._promote(traffic)
            self._fall_back(traffic)
            self._resume(traffic)
        return traffic.counts()

    # ---- steps

    def _pin(self) -> None:
        self._tell.chapter("Pin: from a repository and a branch to exact bytes")
        self._write(self._pinned("main"))
        first = self._place.upstream.demo.chat_gguf[0]
        self._require(first in self._manifest.read_text(), f"the manifest names the commit {first}")
        self._tell.happened(f"{self._manifest.name} names commit {first[:12]}…, the digest of its files and the engine by digest")

    def _nothing_without_approval(self) -> None:
        self._tell.chapter("Apply: a proposal, and nothing more")
        self._apply()
        self._team.wait_phase(NAME, "AwaitingApproval")
        self._require(self._team.pods(NAME) == [], "no pod runs before the owner agrees")
        status, body = self._ask_status()
        self._require(status == 503, f"a request is refused with 503 (it got {status})")
        self._tell.output(body, lines=3)
        self._tell.happened("the request was answered 503: nothing is approved, so nothing runs")

    def _bots_are_refused(self) -> None:
        self._tell.chapter("A bot whose role says `*` cannot decide")
        refused = self._place.bot.holdfast("approve", NAME, "--namespace", TEAM, "--yes")
        self._tell.output(refused.output, lines=4)
        self._require(refused.code == _NOT_ALLOWED and _BOTS in refused.output, f"the bot was refused as one: {refused.output}")
        self._require(self._team.phase(NAME) == "AwaitingApproval", "the request still waits")
        self._tell.happened("refused at admission; the request still waits for a person")

    def _approve_the_first(self) -> None:
        self._tell.chapter("The owner approves; the bytes are fetched, hashed, loaded and served")
        self._tell.output(self._team.must("approve", NAME, "--yes", "--reason", "eval report 117").output)
        self._team.wait_phase(NAME, "Stable")
        with self._team.url(NAME) as url:
            status, headers, body = ask_once(url, host=self._team.host(NAME), model=NAME)
        self._require(
            status == 200 and headers.get("x-holdfast-revision") == "1", f"revision 1 answers (status {status}: {body})"
        )
        self._tell.happened(f"answered with x-holdfast-revision: {headers['x-holdfast-revision']}")

    def _upstream_moves(self, traffic: Traffic) -> None:
        self._tell.chapter("Upstream `main` moves, a pod dies — and nothing changes")
        traffic.after_now(50)
        moved = self._place.upstream.move_main()
        self._tell.happened(f"upstream main is now {moved[:12]}…")
        before = {pod["metadata"]["name"] for pod in self._team.wait_ready(NAME, _REPLICAS)}
        self._run(self._place.admin.kubectl("delete", "pod", min(before), "--namespace", TEAM, "--wait=false"))
        until(lambda: [p for p in self._team.ready_pods(NAME) if p["metadata"]["name"] not in before], what="a new pod")
        self._only(traffic, "1")
        self._tell.happened("the new pod verified the same bytes; every answer still comes from revision 1")
        self._not_one_failed(traffic)

    def _guards_hold(self, traffic: Traffic) -> None:
        self._tell.chapter("Shortcuts are refused, for bots and for people")
        child = f"{NAME}-1"
        image = self._place.bot.kubectl(
            "set", "image", f"deployment/{child}", "engine=example.invalid/other:latest", "--namespace", TEAM
        )
        self._tell.output(image.output, lines=2)
        self._require(_DENIED in image.output, f"a guard refused kubectl set image: {image.output}")
        patch = '{"status":{"phase":"Stable","stable":{"revision":9}}}'
        status = self._place.bot.kubectl(
            "patch",
            "modeldeployments.holdfast.dev",
            NAME,
            "--namespace",
            TEAM,
            "--subresource=status",
            "--type=merge",
            "--patch",
            patch,
        )
        self._tell.output(status.output, lines=2)
        self._require(_DENIED in status.output, f"a guard refused the patch of the status: {status.output}")
        self._only(traffic, "1")
        self._tell.happened("both refused; traffic did not notice")

    def _canary(self, traffic: Traffic) -> None:
        self._tell.chapter("Propose the new commit: diff, approve, canary")
        self._write(self._pinned("main"))
        self._apply()
        self._team.wait_request(NAME, above=1)
        self._tell.output(self._team.say("diff", NAME).output, lines=16)
        self._only(traffic, "1")
        self._tell.happened("proposed; every answer still comes from revision 1")
        self._team.must("approve", NAME, "--yes", "--reason", "eval report 118")
        for step in ROLLOUT["steps"]:
            self._step(traffic, step["weight"])
        self._team.wait_phase(NAME, "AwaitingPromotion")
        self._tell.happened("the last step was held for its time; no clock promotes, so it waits for a person")
        self._not_one_failed(traffic)

    def _step(self, traffic: Traffic, percent: int) -> None:
        def reached() -> bool:
            status = self._team.status(NAME)
            candidate = status.get("candidate", {})
            at = candidate.get("weightObserved", 0)
            return (at == percent * 100 and status["phase"] in ("Soaking", "AwaitingPromotion")) or at > percent * 100

        until(reached, what=f"the step of {percent} %")
        counts = traffic.after_now(500, timeout=_COUNTING_SECONDS)
        users = len(set().union(*counts.users_by_revision.values()))
        share = counts.user_share("2")
        still = self._team.status(NAME).get("candidate", {}).get("weightObserved") == percent * 100
        self._require(not still or abs(share - percent / 100) < _SHARE_TOLERANCE, f"the share of users is near {percent} %")
        late = "" if still else "; on this machine the next step began before they were counted"
        self._tell.happened(f"step {percent} %: {share:.1%} of {users} users got revision 2, in {counts.sent} requests{late}")

    def _promote(self, traffic: Traffic) -> None:
        self._tell.chapter("The owner promotes")
        self._tell.output(self._team.must("approve", NAME, "--yes", "--reason", "better on tickets").output)
        self._team.wait_phase(NAME, "Draining", "Stable")
        self._only(traffic, "2")
        self._tell.happened("roles swapped, pods did not: the pods that were tried are the pods that serve")
        self._not_one_failed(traffic)

    def _fall_back(self, traffic: Traffic) -> None:
        self._tell.chapter("3 a.m.: fall back, at once")
        traffic.after_now(50)
        outcome = self._team.must("fallback", NAME, "--yes", "--wait", "--reason", "complaints since 02:40")
        returned = time.monotonic()
        self._tell.output(outcome.output)
        told = re.search(r"([0-9.]+) s after the decision", outcome.output)
        seconds = float(told[1]) if told is not None else float("inf")
        self._require(seconds < _FALLBACK_SECONDS, f"every gateway pod obeyed in under {_FALLBACK_SECONDS:g} s: {seconds:g} s")
        self._only(traffic, "1")
        self._team.wait_phase(NAME, "Fallback")
        late = [answer for answer in traffic.answers(returned) if answer.revision == "2"]
        self._require(not late, f"no request that began after the command had returned got revision 2; {len(late)} did")
        self._tell.happened(
            f"every gateway pod obeyed {seconds:.2f} s after the decision; no request that began after that got revision 2"
        )
        self._not_one_failed(traffic)

    def _resume(self, traffic: Traffic) -> None:
        self._tell.chapter("Nothing leaves a fallback by itself: a person resumes")
        self._tell.output(self._team.must("resume", NAME, "--yes", "--reason", "it was the prompt").output)
        self._team.wait_phase(NAME, "Stable")
        self._team.wait_served_by(NAME, "Serving")
        self._only(traffic, "2")
        self._tell.happened("revision 2 serves again")
        self._tell.output(self._team.say("history", NAME).output, lines=20)
        self._not_one_failed(traffic)

    # ---- what steps are made of

    def _pinned(self, ref: str) -> str:
        outcome = self._team.owner.holdfast(
            "pin", f"holdfast/tiny-chat-GGUF@{ref}", "--name", NAME, "--namespace", TEAM, "--engine", "LlamaCpp",
            "--image", self._place.engine, "--include", "*.gguf", "--endpoint", self._place.upstream.outside,
        )  # fmt: skip
        self._require(outcome.code == 0, f"holdfast pin wrote a manifest: {outcome.output}")
        return outcome.stdout

    def _write(self, manifest: str) -> None:
        """Save the manifest with two replicas and quick steps, as a reader would edit them in."""
        document = yaml.safe_load(manifest)
        document["spec"]["serving"] = {"replicas": _REPLICAS}
        document["spec"]["rollout"] = ROLLOUT
        self._manifest.write_text(yaml.safe_dump(document, sort_keys=False))

    def _apply(self) -> None:
        self._run(self._team.owner.kubectl("apply", "--filename", str(self._manifest)))

    def _run(self, outcome: Outcome) -> None:
        self._tell.output(outcome.output, lines=4)
        self._require(outcome.code == 0, f"the command succeeded: {outcome.output.strip()}")

    def _ask_status(self) -> tuple[int, str]:
        """Ask until the gateway of the new namespace answers at all."""

        def answer() -> tuple[int, str] | None:
            try:
                with self._team.url(NAME) as url:
                    status, _, body = ask_once(url, host=self._team.host(NAME), model=NAME)
            except (aiohttp.ClientError, TestbedError):
                return None
            return status, body

        return until(answer, what="an answer of the gateway")

    def _only(self, traffic: Traffic, revision: str) -> None:
        """Require that all answers to requests that begin from now on come from one revision."""
        seen = traffic.after_now(100).by_revision
        self._require(set(seen) == {revision}, f"all answers come from revision {revision}; seen: {seen}")

    def _not_one_failed(self, traffic: Traffic) -> None:
        counts = traffic.counts()
        self._require(counts.failed == 0, f"no request failed; {counts.failed} of {counts.sent} did: {counts.failures}")
        by = ", ".join(f"revision {name}: {count}" for name, count in sorted(counts.by_revision.items()))
        self._tell.happened(f"{counts.sent} requests so far, {counts.failed} failed ({by})")

    @staticmethod
    def _require(holds: bool, what: str) -> None:
        if not holds:
            raise StoryError(f"expected that {what}")
