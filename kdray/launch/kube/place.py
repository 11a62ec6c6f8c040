"""Jobs in a namespace of a Kubernetes cluster, run by KubeRay's operator."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

from kdray.errors import LaunchError
from kdray.launch.kube.client import Api, Object, connect
from kdray.launch.kube.facts import gather
from kdray.launch.kube.leftover import delete_leftovers
from kdray.launch.kube.login import IN_CLUSTER
from kdray.launch.kube.logs import read_log
from kdray.launch.kube.refusal import Forbidden
from kdray.launch.kube.service import service_ready_since, service_reason, service_state
from kdray.launch.kube.trouble import Facts, exit_code, reason, since, state
from kdray.launch.place import OVER, Order, Sent, Sighting
from kdray.spec import parse_job
from kdray.spec.target import Kubernetes, Target

T = TypeVar("T")

#: Kinds of what kdray applies for a job of its own.
_KINDS = ("RayJob", "RayService")
#: Labels by which kdray knows its own objects.
_MINE = "app.kubernetes.io/managed-by=kdray,app.kubernetes.io/part-of=kdray"
#: Seconds between looks at a job that is being stopped.
_LOOK_S = 1.0


class KubernetesPlace:
    """A namespace with KubeRay's operator.

    Args:
        place: The target's place.
        pause: Waits, seconds.
        clock: Returns seconds since 1970.
    """

    def __init__(
        self,
        place: Kubernetes,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._place = place
        self._pause = pause
        self._clock = clock

    @cached_property
    def api(self) -> Api:
        """The API server.

        Raises:
            LaunchError: The client is not installed, or the kubeconfig has no such context.
        """
        return connect(self._place)

    @property
    def where(self) -> str:
        """The place in words."""
        return self.api.where

    @property
    def pinned(self) -> dict[str, str]:
        """The fields of the target that the kubeconfig filled in; in a pod it names no context."""
        context = {} if self.api.context == IN_CLUSTER else {"context": self.api.context}
        return {**context, "namespace": self.api.namespace}

    def submit(self, order: Order, new: bool = False) -> Sent:
        """Send a job, or find it running.

        A job whose earlier tries are over gets another name: ``ID-2``, ``ID-3`` ...

        Args:
            order: The job.
            new: Send it even if it runs already.

        Raises:
            LaunchError: The cluster refuses; nothing is left there then.
        """
        if order.kind == "Service":
            return self._serve(order)
        tries = self._tries(order.id)
        going = [job for job in tries.values() if state(job) not in OVER]
        if going and not new:
            return Sent(self._seen(going[-1]), attached=True)
        self._only(order, tries)
        named = replace(order, id=f"{order.id}-{max(tries) + 1}") if tries else order
        return Sent(
            self._seen(self._applied(named, "RayJob", self._rendered(named))), attached=False
        )

    def jobs(self) -> list[Sighting]:
        """Return kdray's jobs and services in the namespace, the latest first.

        Raises:
            LaunchError: The cluster does not answer or refuses.
        """
        found = [job for jobs in self._each(self._list) for job in jobs]
        if not found:
            self._namespace()
        found.sort(key=lambda job: str(job["metadata"].get("creationTimestamp")), reverse=True)
        # Of the many that are over, what their own record says is enough.
        return [self._seen(job, closely=self._state(job) not in OVER) for job in found]

    def look(self, id: str) -> Sighting | None:
        """Return a job or service by its name, or None where there is none.

        Raises:
            LaunchError: The cluster does not answer or refuses.
        """
        job = self._find(id)
        return None if job is None else self._seen(job)

    def logs(self, id: str, follow: bool = False) -> Iterator[str]:
        """Yield what the driver has printed; with ``follow`` until the job is over.

        Raises:
            LaunchError: There is no such job, or its log cannot be read.
        """
        self._needed(id)
        return read_log(
            self.api,
            lambda: self._pods(id),
            lambda: self._over(id),
            follow=follow,
            pause=self._pause,
        )

    def stop(self, id: str, wait_s: float, tell: Callable[[str], None] | None = None) -> str:
        """End a job by deleting it: KubeRay's operator asks the driver, and the pods wait for it.

        Args:
            id: The job.
            wait_s: How long to wait until it has ended; its pods are killed after their own time.
            tell: Takes a sentence on what is being waited for.

        Returns:
            What was done.

        Raises:
            LaunchError: There is no such job, it may not be deleted, or the operator does not act.
        """
        job = self._needed(id)
        is_job = job["kind"] == "RayJob"
        if is_job and state(job) in OVER and "deletionTimestamp" not in job["metadata"]:
            return f"{id} is {state(job)}: there is nothing to stop."
        self.api.delete(job["kind"], id)
        if tell:
            tell(f"deleted {job['kind']} {id}, waiting up to {wait_s:.0f} s for its pods")
        end = self._clock() + wait_s
        while (left := self._find(id)) is not None or self._pods_seen(id):
            if self._clock() < end:
                self._pause(_LOOK_S)
            elif left is None:
                return f"{id} is deleted; its pods are still ending."
            else:
                raise LaunchError(
                    self.where,
                    f"{id} is marked as deleted, and KubeRay's operator does not end it.",
                    "Is the operator running? `kdray doctor --to` looks.",
                )
        return f"{id} is stopped. Submit it again to continue." if is_job else f"{id} is deleted."

    def _serve(self, order: Order) -> Sent:
        """Apply a service; one that runs already is upgraded where it has changed."""
        before = self.api.get("RayService", order.id)
        rendered = self._rendered(order)
        service = self._applied(order, "RayService", rendered)
        notes = delete_leftovers(self.api, order.id, rendered) if before is not None else []
        is_same = before is not None and before["spec"] == service["spec"]
        if before is not None and not is_same:
            notes.insert(0, "It has changed, and is upgraded as `serving.upgrade` says.")
        return Sent(self._seen(service), attached=is_same, notes=tuple(notes))

    def _rendered(self, order: Order) -> list[dict[str, Any]]:
        from kdray.launch.kube.render import manifests

        target = Target(apiVersion="kdray/v1", kind="Target", name="kubernetes", place=self._place)
        return manifests(order, parse_job(order.spec, order.file, env={}), target)

    def _applied(self, order: Order, kind: str, rendered: Sequence[Mapping[str, Any]]) -> Object:
        """Apply a job's manifests and return its own object; the others are deleted with it."""
        made: list[Mapping[str, Any]] = []
        job: Object | None = None
        try:
            for manifest in rendered:
                known = self.api.get(manifest["kind"], manifest["metadata"]["name"])
                done = self.api.apply(manifest)
                made += [] if known else [manifest]
                job = done if manifest["kind"] == kind else job
            if job is None:
                raise LaunchError(order.file, f"no {kind} was made of it.")
            for manifest in rendered:
                if manifest["kind"] != kind:
                    self.api.apply(_owned(manifest, job))
        except LaunchError:
            for manifest in reversed(made):
                # Why it was refused counts more than what could not be taken back.
                with suppress(LaunchError):
                    self.api.delete(manifest["kind"], manifest["metadata"]["name"])
            raise
        return job

    def _only(self, order: Order, tries: Mapping[int, Object]) -> None:
        """Refuse a job whose name runs with other settings: its lock would refuse it later."""
        own = {job["metadata"]["name"] for job in tries.values()}
        for job in self._list("RayJob"):
            name = job["metadata"]["name"]
            marks = (_told(job, "kdray/job"), _told(job, "kdray/storage"))
            if name in own or marks != (order.job, order.storage) or state(job) in OVER:
                continue
            raise LaunchError(
                order.job,
                f"runs already in {self.where}, with other settings, as {name}.",
                f"End it first, `kdray stop {name} --to TARGET`, or give this job another name.",
            )

    def _tries(self, id: str) -> dict[int, Object]:
        """Return the RayJobs of an order by the number of the try, in that order."""
        found = {}
        for job in self._list("RayJob"):
            number = re.fullmatch(rf"{re.escape(id)}(?:-(\d{{1,4}}))?", job["metadata"]["name"])
            if number:
                found[int(number[1] or 1)] = job
        return dict(sorted(found.items()))

    def _list(self, kind: str) -> list[Object]:
        # Items of a list do not say what they are.
        return [{**job, "kind": kind} for job in self.api.list(kind, labels=_MINE)]

    def _find(self, id: str) -> Object | None:
        return next(filter(None, self._each(lambda kind: self.api.get(kind, id))), None)

    def _each(self, read: Callable[[str], T]) -> Iterator[T]:
        """Yield what is read of jobs and of services; a user may have rights for one of them."""
        refused: list[Forbidden] = []
        for kind in _KINDS:
            try:
                yield read(kind)
            except Forbidden as error:
                refused.append(error)
        if len(refused) == len(_KINDS):
            raise refused[0]

    def _namespace(self) -> None:
        """Refuse a namespace that is not there: it looks like one without jobs."""
        try:
            found = self.api.get("Namespace", self.api.namespace)
        except Forbidden:
            return
        if found is None:
            raise LaunchError(
                self.where,
                f"there is no namespace {self.api.namespace}.",
                "Name another in the target, or have it made: `kubectl create namespace "
                f"{self.api.namespace}`.",
            )

    def _needed(self, id: str) -> Object:
        job = self._find(id)
        if job is None:
            remedy = "See `kdray jobs --to`."
            raise LaunchError(self.where, f"there is no job {id}.", remedy)
        return job

    def _pods(self, id: str) -> list[Object]:
        return self.api.list("Pod", labels=f"app.kubernetes.io/instance={id}")

    def _pods_seen(self, id: str) -> list[Object]:
        try:
            return self._pods(id)
        except Forbidden:
            return []

    def _state(self, job: Object) -> Any:
        return state(job) if job["kind"] == "RayJob" else service_state(job)

    def _over(self, id: str) -> bool:
        job = self._find(id)
        return job is None or self._state(job) in OVER

    def _seen(self, job: Object, closely: bool = True) -> Sighting:
        metadata, status = job["metadata"], job.get("status") or {}
        is_job = job["kind"] == "RayJob"
        now = self._state(job)
        why = ""
        if now in ("pending", "running", "failed"):
            when = self._clock()
            facts = gather(self.api, job, when) if closely else Facts(job, when)
            why = reason(facts) if is_job else service_reason(facts)
        info = status.get("rayJobInfo") or {}
        return Sighting(
            job=_told(job, "kdray/job") or str(metadata["name"]),
            id=str(metadata["name"]),
            state=now,
            reason=why,
            where=self.where,
            created=since(metadata.get("creationTimestamp")),
            started=since(info.get("startTime")) if is_job else service_ready_since(job),
            ended=since(info.get("endTime") or status.get("endTime")) if now in OVER else None,
            exit_code=exit_code(job) if is_job else None,
            storage=_told(job, "kdray/storage"),
            kind=_told(job, "kdray/kind") or ("Experiment" if is_job else "Service"),
        )


def _told(job: Object, annotation: str) -> str:
    return str((job["metadata"].get("annotations") or {}).get(annotation) or "")


def _owned(manifest: Mapping[str, Any], job: Object) -> dict[str, Any]:
    """Return a manifest that Kubernetes deletes together with a job."""
    owner = {key: job[key] for key in ("apiVersion", "kind")}
    owner |= {key: job["metadata"][key] for key in ("name", "uid")}
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [owner]}}
