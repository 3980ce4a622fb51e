"""What can be measured. To add one: a file beside this one, and its entry in TARGETS."""

from .base import Launch, Target
from .direct import Direct
from .gateway import Gateway
from .nginx import Nginx

TARGETS: dict[str, Target] = {target.name: target for target in (Direct(), Nginx(), Gateway())}

__all__ = ["TARGETS", "Launch", "Target"]
