"""What all tests share."""

import os

from hypothesis import HealthCheck, settings

# No limit on an example's wall-clock time: the machine may be busy. In CI the examples are the same at each run.
settings.register_profile(
    "here",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("here")
