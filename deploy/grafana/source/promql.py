"""The few shapes of PromQL that all panels are made of."""

# Errors that are no failure of the gateway or its backends: the caller's own, a filter's, and prompts that fit nowhere.
NOT_OURS = (
    ""
    "caller_.*|policy_nothing_fits|policy_too_long|upstream_content_filter|upstream_rejected_request|upstream_context_exceeded"
)
UNJUDGED = "rejected|client_cancelled"  # outcomes that say nothing of how well requests are answered
OUR_OWN = "gateway_internal|gateway_store"  # errors that are failures though their outcome is `rejected`
HOUR = 3600


def rate(metric: str, labels: str = "", by: str = "") -> str:
    """Events a second, added up by labels."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{{{labels}}}[$__rate_interval]))"


def quantile(share: float, histogram: str, labels: str = "", by: str = "") -> str:
    """The value that a share of the observations does not exceed."""
    more = f", {by}" if by else ""
    return f"histogram_quantile({share}, sum by (le{more}) (rate({histogram}_bucket{{{labels}}}[$__rate_interval])))"


def hourly(metric: str, labels: str = "", by: str = "") -> str:
    """US dollars an hour, at the pace of now."""
    return f"{rate(metric, labels, by)} * {HOUR}"


def success(labels: str, by: str = "") -> str:
    """The share of requests that were answered well, of those that could have been."""
    grouped = f" by ({by})" if by else ""
    judged = (
        f'sum{grouped} (rate(gateway_requests_total{{{labels}, outcome!~"{UNJUDGED}"}}[$__rate_interval]) or '
        f'rate(gateway_errors_total{{{labels}, error_type=~"{OUR_OWN}"}}[$__rate_interval]))'
    )
    failed = rate("gateway_errors_total", f'{labels}, error_type!~"{NOT_OURS}"', by)
    return f"clamp_min(1 - ({failed} or 0 * {judged}) / {judged}, 0)"
