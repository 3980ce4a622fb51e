"""What can be measured. To add one: a file beside this one, and its entry in TARGETS."""

from .base import Launch, Target
from .direct import Direct
from .gateway import Gateway
from .litellm import LiteLLM
from .nginx import Nginx
from .portkey import Portkey
from .routers import smg, vllm_router

TARGETS: dict[str, Target] = {
    target.name: target for target in (Direct(), Nginx(), Gateway(), vllm_router(), smg(), Portkey(), LiteLLM())
}

__all__ = ["TARGETS", "Launch", "Target"]
