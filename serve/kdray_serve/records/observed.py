"""All that takes note of a process's requests and answers: metrics, log, audit log, feedback."""

from __future__ import annotations

from typing import get_args

from kdray.spec.service import Service
from kdray.store import Store
from kdray_serve.http.visit import Visit
from kdray_serve.meter import Answered, LineName
from kdray_serve.records.audit import AuditLog, lines_of
from kdray_serve.records.feedback import FeedbackLog, Recent
from kdray_serve.records.keeping import Keeper
from kdray_serve.records.logs import AccessLog
from kdray_serve.records.metrics import Metrics


class Observed:
    """Whom the gate tells of requests, and the desk of answers.

    Args:
        service: What is served.

    Raises:
        StoreError: The audit log cannot be begun.
    """

    def __init__(self, service: Service) -> None:
        store = Store(service.storage)
        self._flag_above = service.ood.flag_above
        self._audit = AuditLog(store, service.name) if service.audit else None
        self._keeper = Keeper(store, service.name) if service.store_uploads else None
        self._log = AccessLog()
        #: The counts; also the meter of the desk's lines and shelf.
        self.metrics = Metrics(service.ood.flag_above)
        for line in get_args(LineName):
            self.metrics.limit(line, service.limits.max_queued_requests)
        #: Where feedback goes, and the answers that it can be about.
        self.feedback = FeedbackLog(store, service.name)
        self.recent = Recent()

    def answered(self, answered: Answered) -> None:
        """Take note of an answer, before it is given.

        Raises:
            Refusal: It cannot be written to the audit log, so it must not be given.
        """
        if self._audit is not None:
            for line in lines_of(answered, self._flag_above):
                self._audit.note(line)
        if self._keeper is not None:
            self._keeper.answered(answered)
        self.recent.note(answered)
        self.metrics.answered(answered)

    def finished(self, visit: Visit) -> None:
        """Take note of a request that is over."""
        self.metrics.finished(visit)
        self._log.finished(visit)

    def text(self) -> bytes:
        """Return the metrics as Prometheus reads them."""
        if self._audit is not None:
            self.metrics.audit(self._audit.waiting, self._audit.failures)
        return self.metrics.text()

    def close(self) -> None:
        """Write down what waits; to be called before the process ends."""
        self.feedback.close()
        if self._keeper is not None:
            self._keeper.close()
        if self._audit is not None:
            self._audit.close()
        self.metrics.close()
