"""``GET /v1/models...``: what is served, its cards, its sample images."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from kdray_serve.desk import Desk
from kdray_serve.http.documented import answers
from kdray_serve.schema import Details, Models, Summary

ModelName = Annotated[
    str, Path(description="`name`, `name@version` or `name@alias`, see `/v1/models`.")
]
_SUMMARY = set(Summary.model_fields)


def router(desk: Desk) -> APIRouter:
    """Return the routes.

    Args:
        desk: Who knows the models.
    """
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models", summary="List the models", responses=answers(Models))
    async def list_models() -> Models:
        """List the models that are served."""
        return Models(
            models=[Summary(**model.model_dump(include=_SUMMARY)) for model in desk.models()]
        )

    @routes.get("/v1/models/{name}", summary="Show a model", responses=answers(Details, 404, 422))
    async def show_model(name: ModelName) -> Details:
        """Show a model: classes, input, scores, lineage and model card."""
        return desk.found(name)

    @routes.get(
        "/v1/models/{name}/samples/{number}",
        summary="Fetch a sample image",
        responses=answers(None, 404, 422, png=True),
        response_class=Response,
    )
    async def sample(
        name: ModelName,
        number: Annotated[int, Path(ge=0, description="Its place, below `samples`.")],
    ) -> Response:
        """Return a sample image of the model's package, to try the service with."""
        return Response(await desk.sample(name, number), media_type="image/png")

    return routes
