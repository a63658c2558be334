"""What this process saw happen to leases, for Prometheus."""

from prometheus_client import Counter, Histogram

CLAIMS = Counter("roomscribe_claims", "Claims by workers", ["outcome"])
TIME_TO_LIVE = Histogram(
    "roomscribe_time_to_live_seconds",
    "From a dispatch to the agent being live",
    buckets=(0.25, 0.5, 1, 2, 3, 5, 10, 30, 60),
)
