"""What a service serves, as the registry tells it; without loading any model."""

from __future__ import annotations

from kdray import parts
from kdray.registry import Registry
from kdray.spec.service import ServedModel, Service
from kdray.spec.strict import Part
from kdray_serve.schema import Details, Input, Method

#: Name and version number of a served model.
Key = tuple[str, int]


def pinned(service: Service) -> Service:
    """Return the service with every alias replaced by the version it points at now.

    Replicas start at different times; a service must not change its models in between.

    Raises:
        RegistryError: A model, version or alias is not in the registry.
    """
    registry = Registry(service.registry)
    models = tuple(
        ServedModel(name=model.name, version=str(registry.resolve(model.name, model.version)))
        for model in service.models
    )
    return service.model_copy(update={"models": tuple(dict.fromkeys(models))})


def details(service: Service) -> list[Details]:
    """Return what is known of each model of a pinned service.

    Raises:
        RegistryError: A model is not in the registry.
    """
    registry = Registry(service.registry)
    methods = [Method(name=part.name, title=_title(part)) for part in service.explain]
    return [_details(registry, *key(model), methods) for model in service.models]


def key(model: ServedModel) -> Key:
    """Return name and version number of a model of a pinned service."""
    return model.name, int(model.version)


def _title(part: Part) -> str:
    """Return what an explanation does, in one line; of a preset with settings also its name."""
    title = parts.header("explain", parts.canonical("explain", part).name).title
    preset = parts.presets("explain").get(part.name)
    if preset is None or not preset.params:
        return title
    called, colon, does = title.partition(":")
    return f"{called} ({part.name}){colon}{does}"


def _details(registry: Registry, name: str, version: int, methods: list[Method]) -> Details:
    facts = registry.describe(name, version)
    return Details(
        name=name,
        version=version,
        aliases=[alias for alias, number in registry.aliases(name).items() if number == version],
        classes=facts["classes"],
        input=Input(
            width=facts["image_size"], height=facts["image_size"], channels=facts["channels"]
        ),
        explanations=methods,
        id=facts["id"],
        role=facts["role"],
        architecture=facts["model"],
        weights_sha256=facts["weights"]["sha256"],
        lineage=facts["lineage"],
        metrics=facts["metrics"],
        card=facts["card"],
    )
