"""A provider of somebody else's, as a policy reaches it by `package.module:Class`."""

from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import OpenAICompatible


class Outsider(OpenAICompatible):
    """OpenAI's API, spoken by a class that the registry has never heard of."""

    kind = Kind("outsider", telemetry="outsider", location="self_hosted")
