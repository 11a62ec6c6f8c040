"""A whole service in one process: who answers, who takes note, and the application around both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import FastAPI

from kdray.errors import KdrayError
from kdray.spec.keys import ApiKey
from kdray.spec.service import Service
from kdray_serve.answering.counter import ServiceDesk, make_worker
from kdray_serve.answering.explaining import Explaining
from kdray_serve.http.app import create_app
from kdray_serve.http.routes import feedback, metrics
from kdray_serve.records.observed import Observed


class Whole:
    """The application of a service with all that belongs to it.

    Args:
        service: What is served.
        keys: The keys made at the start, where the service's ``auth`` is null.
        explaining: Where explanations are made; None: in this process.
        may_use_torch: Whether PyTorch may be imported.

    Raises:
        JobError: The keys cannot be read, or there are none.
        StoreError: The audit log cannot be begun.
    """

    def __init__(
        self,
        service: Service,
        keys: Sequence[ApiKey] = (),
        explaining: Explaining | None = None,
        *,
        may_use_torch: bool = True,
    ) -> None:
        self.observed = Observed(service)
        meter = self.observed.metrics
        worker = make_worker(
            service, may_use_torch=may_use_torch, explains=explaining is None, meter=meter
        )
        self.desk = ServiceDesk(
            service, worker, explaining, meter=meter, told=(self.observed.answered,)
        )
        try:
            self.app: FastAPI = create_app(
                self.desk,
                keys=keys,
                listeners=(self.observed,),
                routers=(
                    feedback.router(self.desk, self.observed),
                    metrics.router(self.desk, self.observed),
                ),
            )
        except KdrayError:  # an audit log that only begins looks like one cut off
            self.observed.close()
            raise

    async def start(self) -> None:
        """Load and warm up the models.

        Raises:
            KdrayError: A model is missing or damaged.
        """
        await self.desk.start()

    async def close(self) -> None:
        """Write down what waits, and end the threads."""
        await self.desk.close()
        await asyncio.to_thread(self.observed.close)
