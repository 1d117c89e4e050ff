"""The model that an agent asks, from its provider and name."""

from pydantic_ai.models import Model

from perdure_executor.agents.offline.model import offline_model
from perdure_executor.providers import BUILTIN, Provider


def model_for(provider: Provider, name: str) -> Model:
    """A model of a configured provider. Raises ImportError where the provider's package cannot be used."""
    match provider.name:
        case _ if provider.name == BUILTIN:
            return offline_model()
        case "openai":
            # Imported where it is named: the package behind it is optional, and slow to load.
            from pydantic_ai.models.openai import OpenAIChatModel
            from pydantic_ai.providers.openai import OpenAIProvider

            return OpenAIChatModel(name, provider=OpenAIProvider(api_key=provider.key))
        case "anthropic":
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            return AnthropicModel(name, provider=AnthropicProvider(api_key=provider.key))
        case _:
            raise ValueError(f"no model is known for the provider {provider.name!r}")
